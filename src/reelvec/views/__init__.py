"""Space and colour: random views of clips, as tensors on any device. Knows no file, no time and no method."""

from reelvec.views.view import Colours, View, ViewConfig, apply_geometry, centre_view, make_view, normalise

__all__ = ["Colours", "View", "ViewConfig", "apply_geometry", "centre_view", "make_view", "normalise"]
