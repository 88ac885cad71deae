"""CVRL's two ideas: one augmentation for all frames of a clip, and gaps in time that are mostly short."""

from reelvec.verbs.study import Arm, Claim, Study

STUDY = Study(
    question="Do clip-consistent views and a decreasing density of gaps help?",
    source="CVRL, arXiv 2008.03800, sections 3.2 and 3.3",
    arms={
        "cvrl": Arm("cvrl"),
        "per frame": Arm("cvrl", ("first_view.consistent=false", "second_view.consistent=false")),
        # the density 1 - (d / M)^p is flat for a large p
        "uniform gaps": Arm("cvrl", ("gap_power=1000",)),
    },
    claims=(
        Claim("one augmentation a clip beats one a frame", "cvrl", "per frame", "motion linear"),
        Claim("one augmentation a clip beats one a frame", "cvrl", "per frame", "scene linear"),
        Claim("decreasing gaps beat uniform ones", "cvrl", "uniform gaps", "motion linear"),
        Claim("decreasing gaps beat uniform ones", "cvrl", "uniform gaps", "scene linear"),
    ),
)
