"""V3S: all four targets of space and time together, against those of one kind and against each alone."""

from reelvec.verbs.study import CHANCE, UNTRAINED, Arm, Claim, Study, unseen

_CHANCE = {"space_scale": 1 / 5, "space_projection": 1 / 5, "time_scale": 1 / 3, "time_projection": 1 / 3}
"""one over the classes of each factor in the CPU recipe"""


def _only(*factors: str) -> Arm:
    return Arm("v3s", tuple(f"{factor}_weight=0" for factor in _CHANCE if factor not in factors))


_ALONE = {factor.replace("_", " "): _only(factor) for factor in _CHANCE}

STUDY = Study(
    question="Are targets of space and time together better than those of one kind, or than each alone?",
    source="V3S, arXiv 2107.03578, abstract (the method here is a reconstruction)",
    note="A bent clock shows some frames twice at the smallest interval, which tells it wherever anything changes "
    "(docs/methods/v3s.md): that the heads of time are right says little. The videos have one key frame each.",
    gop=48,
    arms={
        "both": Arm("v3s"),
        "time": _only("time_scale", "time_projection"),
        "space": _only("space_scale", "space_projection"),
        **_ALONE,
    },
    claims=(
        *(Claim(f"both beat {alone} alone on motion", "both", alone, "motion linear") for alone in ("time", "space", *_ALONE)),
        Claim("time beats space on motion", "time", "space", "motion linear"),
        Claim("space targets teach the scene", "space", UNTRAINED, "scene linear"),
        *(
            Claim(f"the {factor.replace('_', ' ')} is told on unseen videos", "both", CHANCE, unseen(f"{factor}_accuracy"))
            for factor in _CHANCE
        ),
    ),
    pretext=tuple(f"{factor}_accuracy" for factor in _CHANCE),
    chance={unseen(f"{factor}_accuracy"): value for factor, value in _CHANCE.items()},
)
