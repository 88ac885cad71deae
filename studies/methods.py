"""All methods at an equal number of videos drawn for training: what does each know of motion and of the scene?"""

from reelvec.verbs.study import UNTRAINED, Arm, Claim, Study

_METHODS = (
    "modist", "cvrl", "rho_moco", "rho_byol", "rho_simclr", "rho_swav", "dsm", "vtdl", "v3s", "tcgl", "cmd",
)  # fmt: skip

STUDY = Study(
    question="Which methods teach the tiny network motion, and which the scene, from equally many videos? (Each by its CPU "
    "recipe; those of modist and rho_moco alone were tuned, on other seeds.)",
    source="the papers of the methods",
    note="The generated runs were made twice with the same seeds, on two processors, whose sums round in other ways: of the 20 "
    "claims about methods that had not changed in between, 3 got another verdict (rho_byol and tcgl on motion, rho_swav on the "
    "scene), and means moved by up to 7 points. This is the second time.",
    arms={name: Arm(name) for name in _METHODS},
    claims=tuple(
        Claim(f"{name} teaches {'motion' if label == 'motion' else 'the scene'}", name, UNTRAINED, f"{label} linear")
        for name in _METHODS
        for label in ("motion", "scene")
    ),
)
