"""MoDist: does the cross-modal term help more where the camera moves?"""

from reelvec.verbs.study import Arm, Claim, Study

_ALONE = ("cross_weight=0",)

STUDY = Study(
    question="Does the cross-modal term of MoDist help more where the camera moves?",
    source="MoDist, arXiv 2106.09703 (card, section 10, claim 1)",
    note="Where the camera moves both arms stand near chance (12.5 %), which hides what the term could add: the motion network "
    "itself, the teacher, knows little there (docs/methods/modist.md).",
    arms={
        "still": Arm("modist", camera=False),
        "still, no cross term": Arm("modist", _ALONE, camera=False),
        "moving": Arm("modist", camera=True),
        "moving, no cross term": Arm("modist", _ALONE, camera=True),
    },
    claims=(
        Claim("the cross term helps where the camera stands still", "still", "still, no cross term", "motion linear"),
        Claim("the cross term helps where it moves", "moving", "moving, no cross term", "motion linear"),
        Claim(
            "and helps more there", "moving", "moving, no cross term", "motion linear", beyond=("still", "still, no cross term")
        ),
    ),
)
