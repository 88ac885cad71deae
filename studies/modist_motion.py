"""MoDist's claim: contrast across the pathways brings motion into the RGB encoder."""

from reelvec.verbs.study import UNTRAINED, Arm, Claim, Study

STUDY = Study(
    question="Does the cross-modal term of MoDist bring motion into the RGB encoder?",
    source="MoDist, arXiv 2106.09703, abstract",
    arms={
        "modist": Arm("modist"),
        "no cross term": Arm("modist", ("cross_weight=0",)),
        "rho_moco": Arm("rho_moco"),
    },
    claims=(
        Claim("the cross term raises motion accuracy", "modist", "no cross term", "motion linear"),
        Claim("the cross term raises motion accuracy", "modist", "no cross term", "motion knn"),
        Claim("MoDist knows more motion than MoCo at equal steps", "modist", "rho_moco", "motion linear"),
        Claim("MoDist knows more motion than MoCo at equal steps", "modist", "rho_moco", "motion knn"),
        Claim("training teaches motion", "modist", UNTRAINED, "motion linear"),
    ),
)
