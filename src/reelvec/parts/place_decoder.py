"""A Transformer that reads a feature map and writes a feature for each place of another map."""

import torch
from torch import Tensor, nn

from reelvec.core.shapes import Float


class PlaceDecoder(nn.Module):
    """Places of the map read pass an encoder; what is written starts as learned positions alone and attends to them.

    Both sides have a table of learned positions, uniform in [0, 1) at first. Layers normalise after each sum (Vaswani et
    al. 2017). There is no dropout: it would draw from the global generator, and a step must not.
    """

    def __init__(
        self, inputs: int, read: int, written: int, dim: int, heads: int, hidden: int, layers: tuple[int, int]
    ) -> None:
        """Read maps of `read` places with `inputs` channels, write `written` places of `dim`.

        `hidden` is the width of the feed-forward layers; `layers` are those of the encoder and of the decoder.
        """
        super().__init__()
        self.into = nn.Linear(inputs, dim, bias=False)
        self.read_positions, self.written_positions = (
            nn.Parameter(torch.rand(read, dim)),
            nn.Parameter(torch.rand(written, dim)),
        )
        self.transformer = nn.Transformer(dim, heads, *layers, dim_feedforward=hidden, dropout=0.0, batch_first=True)

    def forward(self, feature_map: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b s d"]:
        """Write the features of all places, row by row, frame by frame."""
        read = self.into(feature_map.flatten(2).mT) + self.read_positions
        return self.transformer(read, self.written_positions.expand(len(read), -1, -1))
