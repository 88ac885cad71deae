"""The large-scale study's main finding: more clips of a video, and clips from anywhere in it."""

from reelvec.verbs.study import Arm, Claim, Study

STUDY = Study(
    question="What do more clips of a video bring, and does a long time span hurt?",
    source="rho study, arXiv 2104.14558, figure 1 and section 5",
    arms={
        # equal clips in all: a step with four clips costs twice one with two
        "1 clip": Arm("rho_moco", ("clips=1",)),
        "2 clips": Arm("rho_moco", ("clips=2",)),
        "4 clips": Arm("rho_moco", ("clips=4",), share=0.5),
        "2 clips, within 0.1 s": Arm("rho_moco", ("clips=2", "max_gap_seconds=0.1")),
    },
    claims=(
        Claim("two clips beat two views of one", "2 clips", "1 clip", "motion linear"),
        Claim("two clips beat two views of one", "2 clips", "1 clip", "scene linear"),
        Claim("four clips beat two at equal cost", "4 clips", "2 clips", "motion linear"),
        Claim("a long span beats a short one", "2 clips", "2 clips, within 0.1 s", "motion linear"),
    ),
)
