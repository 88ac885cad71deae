"""Telling the order of shuffled snippets from their features (as in TCGL, arXiv 2112.03587)."""

from itertools import permutations

import torch
from torch import Tensor, nn

from reelvec.core.shapes import Float, Int


def all_orders(snippets: int) -> Int[Tensor, "classes n"]:
    """List the n! orders of n snippets: row c says which snippet is shown first, second, ... in class c."""
    return torch.tensor(list(permutations(range(snippets))))


class OrderHead(nn.Module):
    """Weigh the features of each snippet by gates that read all of them, then classify the order.

    With c the features of all snippets side by side, snippet i is weighed by sigmoid(W2_i ReLU(W1_i c)). The places that
    the snippets are shown in have weights of their own: nothing here knows the places they had in the video.
    """

    def __init__(self, snippets: int, dim: int, gate_hidden: int, hidden: int) -> None:
        super().__init__()
        wide = snippets * dim
        self.gates = nn.ModuleList(
            nn.Sequential(nn.Linear(wide, gate_hidden), nn.ReLU(inplace=True), nn.Linear(gate_hidden, dim), nn.Sigmoid())
            for _ in range(snippets)
        )
        self.hidden = nn.Sequential(nn.Linear(wide, hidden), nn.ReLU(inplace=True))
        self.classes = nn.Linear(hidden, len(all_orders(snippets)))

    def forward(self, shown: Float[Tensor, "b n d"], dropout: Float[Tensor, "b h"] | None = None) -> Float[Tensor, "b classes"]:
        """Return a logit for each order; `dropout` is what multiplies the hidden layer: 0, or 1 / (1 - share dropped)."""
        together = shown.flatten(1)
        gate = torch.stack([gate(together) for gate in self.gates], 1)
        hidden = self.hidden((gate * shown).flatten(1))
        return self.classes(hidden if dropout is None else hidden * dropout)
