"""Crops for testing: squares along the long side of the picture, so that nothing of it is left unseen."""

import torch
from torch import Tensor

from reelvec.core.batch import Clips
from reelvec.core.shapes import Float, Int
from reelvec.core.spans import counted_as
from reelvec.views.geometry import crop, scale_vectors


def side_boxes(size: Int[Tensor, "b 2"], crops: int) -> Float[Tensor, "b crops 4"]:
    """Return the largest squares of each picture, spread evenly along its long side: x0 y0 x1 y1, relative, on whole pixels.

    Three are left, centre and right, or top, centre and bottom; a single one is the centre. `size` is height and width.
    """
    height, width = size[:, :1], size[:, 1:]
    side = torch.minimum(height, width)
    # halves of the centre are cut off, as `centre_boxes` does
    places = torch.arange(crops, device=size.device) if crops > 1 else torch.ones(1, dtype=torch.long, device=size.device)
    parts = crops - 1 if crops > 1 else 2
    left, top = ((free * places).div(parts, rounding_mode="floor") for free in (width - side, height - side))
    boxes = torch.stack([left, top, left + side, top + side], 2).float()
    return boxes / torch.cat([width, height, width, height], 1)[:, None]


@counted_as("views")
def side_views(
    clips: Clips, size: int, crops: int, *, vectors: bool = False, cell: int = 1
) -> Float[Tensor, "b crops2 c t size size"]:
    """Show squares along the long side of each clip (n = 1), for testing; not normalised.

    Where all pictures are square there is one crop whatever was asked for: they would all be the same. `vectors` and `cell`
    as in `centre_view`, which is the crop of crops=1.
    """
    if bool((clips.size[:, 0] == clips.size[:, 1]).all()):
        crops = 1
    boxes = side_boxes(clips.size, crops)
    shown = []
    for box in boxes.unbind(1):
        cut = crop(clips, box, torch.zeros(len(box), dtype=torch.bool, device=box.device), size)
        shown.append(
            scale_vectors(cut, box, torch.zeros_like(box[:, 0], dtype=torch.bool), clips.size * cell) if vectors else cut
        )
    return torch.stack(shown, 1)
