"""The large-scale study's ranking: methods with a slow network against those without."""

from reelvec.verbs.study import Arm, Claim, Study

# one batch size for all: equal clips and equal steps
STUDY = Study(
    question="Which of the four methods of the study is best at this scale?",
    source="rho study, arXiv 2104.14558, table 2",
    arms={name: Arm(f"rho_{name}", ("batch=32",)) for name in ("moco", "byol", "simclr", "swav")},
    claims=(
        Claim("a slow network helps: MoCo over SimCLR", "moco", "simclr", "motion linear"),
        Claim("a slow network helps: MoCo over SimCLR", "moco", "simclr", "scene linear"),
        Claim("a slow network helps: BYOL over SwAV", "byol", "swav", "motion linear"),
        Claim("a slow network helps: BYOL over SwAV", "byol", "swav", "scene linear"),
    ),
)
