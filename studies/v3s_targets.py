"""V3S: joint targets of space and time against each alone."""

from reelvec.verbs.study import UNTRAINED, Arm, Claim, Study, unseen

_FACTORS = ("space_scale", "space_projection", "time_scale", "time_projection")
_NO_SPACE = ("space_scale_weight=0", "space_projection_weight=0")
_NO_TIME = ("time_scale_weight=0", "time_projection_weight=0")

STUDY = Study(
    question="Are targets of space and time together better than each alone?",
    source="V3S, arXiv 2107.03578, abstract (the method here is a reconstruction)",
    arms={
        "both": Arm("v3s"),
        "time": Arm("v3s", _NO_SPACE),
        "space": Arm("v3s", _NO_TIME),
        "scales only": Arm("v3s", ("space_projection_weight=0", "time_projection_weight=0")),
    },
    claims=(
        Claim("both targets beat time alone on motion", "both", "time", "motion linear"),
        Claim("time beats space on motion", "time", "space", "motion linear"),
        Claim("space targets teach the scene", "space", UNTRAINED, "scene linear"),
        Claim("scale and projection beat scale alone", "both", "scales only", "motion linear"),
        *(
            Claim(
                f"the {factor.replace('_', ' ')} is told on unseen videos",
                "both",
                UNTRAINED,
                unseen(f"{factor}_accuracy"),
            )
            for factor in _FACTORS
        ),
    ),
    pretext=tuple(f"{factor}_accuracy" for factor in _FACTORS),
)
