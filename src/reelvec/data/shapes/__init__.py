"""A generated set of labelled short videos: motion and scene independent, flow, masks, boxes and speed known."""

from reelvec.data.shapes.make import make_shapes, write_video
from reelvec.data.shapes.motions import MOTIONS
from reelvec.data.shapes.render import Video, draw_video, render
from reelvec.data.shapes.settings import SPLITS, Settings
from reelvec.data.shapes.sheet import write_sheet
from reelvec.data.shapes.textures import SCENES
from reelvec.data.shapes.truth import Truth

__all__ = [
    "MOTIONS",
    "SCENES",
    "SPLITS",
    "Settings",
    "Truth",
    "Video",
    "draw_video",
    "make_shapes",
    "render",
    "write_sheet",
    "write_video",
]
