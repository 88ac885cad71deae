"""DSM's claim: a negative with the scene and without the motion turns the encoder from the scene to the motion."""

from reelvec.verbs.study import Arm, Claim, Study

STUDY = Study(
    question="Do a warped positive and a motion-broken negative turn the encoder from the scene to the motion?",
    source="DSM, arXiv 2009.05757, section 3",
    arms={
        "dsm": Arm("dsm"),
        "without warp": Arm("dsm", ("warp=none",)),
        "without hard negative": Arm("dsm", ("hard_negative=none",)),
        "plain MoCo": Arm("dsm", ("warp=none", "hard_negative=none")),
    },
    claims=(
        Claim("DSM knows more motion than the same trainer without its ideas", "dsm", "plain MoCo", "motion linear"),
        Claim("DSM knows less of the scene", "dsm", "plain MoCo", "scene linear", lower=True),
        Claim("the hard negative alone helps", "without warp", "plain MoCo", "motion linear"),
        Claim("the warp helps on top of it", "dsm", "without warp", "motion linear"),
    ),
)
