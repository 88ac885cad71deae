"""MoDist: does the cross-modal term help more where the camera moves?"""

from reelvec.verbs.study import Arm, Claim, Study

_ALONE = ("cross_weight=0",)
_SLOW = 0.3

STUDY = Study(
    question="Does the cross-modal term of MoDist help more where the camera moves?",
    source="MoDist, arXiv 2106.09703 (card, section 10, claim 1)",
    note="Slow: 0.3 of the speed of the moving camera, settled with a pair of runs on another seed in view. At full speed both "
    "arms stand near chance (12.5 %), which hides what the term could add: the motion network itself, the teacher, knows "
    "little there (docs/methods/modist.md).",
    arms={
        "still": Arm("modist", camera=0.0),
        "still, no cross term": Arm("modist", _ALONE, camera=0.0),
        "slow": Arm("modist", camera=_SLOW),
        "slow, no cross term": Arm("modist", _ALONE, camera=_SLOW),
        "moving": Arm("modist", camera=1.0),
        "moving, no cross term": Arm("modist", _ALONE, camera=1.0),
    },
    claims=(
        Claim("the cross term helps where the camera stands still", "still", "still, no cross term", "motion linear"),
        Claim("the cross term helps where it moves slowly", "slow", "slow, no cross term", "motion linear"),
        Claim("the cross term helps where it moves", "moving", "moving, no cross term", "motion linear"),
        Claim(
            "the cross term helps more where it moves slowly than where it stands",
            "slow",
            "slow, no cross term",
            "motion linear",
            beyond=("still", "still, no cross term"),
        ),
        Claim(
            "the cross term helps more where it moves than where it stands",
            "moving",
            "moving, no cross term",
            "motion linear",
            beyond=("still", "still, no cross term"),
        ),
    ),
)
