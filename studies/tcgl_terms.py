"""TCGL: order prediction and the two graph contrasts, together and alone."""

from reelvec.verbs.study import CHANCE, UNTRAINED, Arm, Claim, Study

_ORDERS = 6
"""of three snippets"""

STUDY = Study(
    question="What do order prediction and the two graph contrasts bring, together and alone?",
    source="TCGL, arXiv 2112.03587, section 4",
    note="The generated videos have one key frame each: where key frames stand at the same place in all videos, they tell the "
    "order (docs/methods/tcgl.md).",
    gop=48,
    arms={
        "all terms": Arm("tcgl"),
        "order": Arm("tcgl", ("intra_weight=0", "inter_weight=0")),
        "intra": Arm("tcgl", ("order_weight=0", "inter_weight=0")),
        "inter": Arm("tcgl", ("order_weight=0", "intra_weight=0")),
        "with the mean over time": Arm("tcgl", ("encoder_arguments.remove_temporal_mean=false",)),
    },
    claims=(
        *(Claim(f"all terms beat {alone} alone", "all terms", alone, "motion linear") for alone in ("order", "intra", "inter")),
        Claim("all terms beat order alone", "all terms", "order", "scene linear"),
        Claim("the order is told on unseen videos", "all terms", CHANCE, "order accuracy unseen"),
        Claim("the order is told on unseen videos", "order", CHANCE, "order accuracy unseen"),
        Claim("taking the mean over time out helps", "all terms", "with the mean over time", "motion linear"),
        Claim("the contrast within snippets teaches alone", "intra", UNTRAINED, "motion linear"),
        Claim("the contrast between snippets teaches alone", "inter", UNTRAINED, "motion linear"),
    ),
    pretext=("order_accuracy",),
    chance={"order accuracy unseen": 1 / _ORDERS},
)
