"""CMD: context matching and motion prediction, together and alone."""

from reelvec.verbs.study import Arm, Claim, Study

STUDY = Study(
    question="Are context and motion together better than each alone?",
    source="CMD, arXiv 2104.00862, abstract",
    arms={
        "both": Arm("cmd"),
        "motion": Arm("cmd", ("context_weight=0",)),
        "context": Arm("cmd", ("motion_weight=0",)),
    },
    claims=(
        *(
            Claim(f"both beat {alone} alone on {label}", "both", alone, f"{measure} linear")
            for alone in ("context", "motion")
            for label, measure in (("motion", "motion"), ("scenes", "scene"))
        ),
        Claim("motion alone beats context alone on motion", "motion", "context", "motion linear"),
        Claim("context alone beats motion alone on scenes", "context", "motion", "scene linear"),
    ),
)
