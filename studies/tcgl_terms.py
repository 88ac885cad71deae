"""TCGL: order prediction and the two graph contrasts, together and alone."""

from reelvec.verbs.study import UNTRAINED, Arm, Claim, Study

_ORDER = ("intra_weight=0", "inter_weight=0")

STUDY = Study(
    question="What do the graph contrasts add to order prediction?",
    note="On the generated set the codec's key frames tell the order (docs/methods/tcgl.md): its accuracy, and what "
    "the arm `order` learns, say nothing for the method.",
    source="TCGL, arXiv 2112.03587, section 4",
    arms={
        "all terms": Arm("tcgl"),
        "order": Arm("tcgl", _ORDER),
        "intra": Arm("tcgl", ("order_weight=0", "inter_weight=0")),
        "inter": Arm("tcgl", ("order_weight=0", "intra_weight=0")),
        "with the mean over time": Arm("tcgl", ("encoder_arguments.remove_temporal_mean=false",)),
    },
    claims=(
        Claim("all terms beat order alone", "all terms", "order", "motion linear"),
        Claim("all terms beat order alone", "all terms", "order", "scene linear"),
        Claim("the order is told on unseen videos", "all terms", UNTRAINED, "order accuracy unseen"),
        Claim("the order is told on unseen videos", "order", UNTRAINED, "order accuracy unseen"),
        Claim("taking the mean over time out helps", "all terms", "with the mean over time", "motion linear"),
        Claim("the contrast within snippets teaches alone", "intra", UNTRAINED, "motion linear"),
        Claim("the contrast between snippets teaches alone", "inter", UNTRAINED, "motion linear"),
    ),
    pretext=("order_accuracy",),
)
