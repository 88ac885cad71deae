"""VTDL's claims: a negative from another time of the video, and an augmentation that keeps derivatives in time."""

from reelvec.verbs.study import Arm, Claim, Study

STUDY = Study(
    question="Do a hard negative from the same video and temporally consistent augmentation help?",
    source="VTDL, as released (card: README ablation)",
    arms={
        "vtdl": Arm("vtdl"),
        "without mixing": Arm("vtdl", ("mix=none",)),
        "changing frames mixed in": Arm("vtdl", ("mix=changing_frame",)),
        "plain MoCo": Arm("vtdl", ("mix=none", "hard_negative=none")),
    },
    claims=(
        Claim("VTDL knows more motion than plain MoCo", "vtdl", "plain MoCo", "motion linear"),
        Claim("VTDL knows less of the scene", "vtdl", "plain MoCo", "scene linear", lower=True),
        Claim("the hard negative alone helps", "without mixing", "plain MoCo", "motion linear"),
        Claim("mixing in one still frame beats frames that change", "vtdl", "changing frames mixed in", "motion linear"),
    ),
)
