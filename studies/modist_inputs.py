"""What the motion pathway should read when the camera moves, and where motion should come from."""

from reelvec.verbs.study import Arm, Claim, Study

STUDY = Study(
    question="Which motion maps serve best when the camera moves, and are codec vectors good enough?",
    source="MoDist, arXiv 2106.09703 (the order of inputs as recalled, not read again)",
    note="A slow camera, 0.3 of the speed of the moving one: at its full speed all arms stand near chance, whatever they read. "
    "The speed was settled with a pair of runs on another seed in view (docs/methods/modist.md). What the cross term itself "
    "brings there is for modist_camera to say.",
    camera=0.3,
    arms={
        "edges": Arm("modist"),
        "edges of components": Arm("modist", ("motion_input=edge_b",)),
        "flow": Arm("modist", ("motion_input=flow_uv",)),
        "frame differences": Arm("modist", ("motion_input=frame_diff",)),
        "edges of codec vectors": Arm("modist", ("flow_source=codec",)),
        "no cross term": Arm("modist", ("cross_weight=0",)),
    },
    claims=(
        Claim("edges beat raw flow", "edges", "flow", "motion linear"),
        Claim("flow beats frame differences", "flow", "frame differences", "motion linear"),
        Claim("codec vectors cost accuracy against DIS flow", "edges of codec vectors", "edges", "motion linear", lower=True),
    ),
)
