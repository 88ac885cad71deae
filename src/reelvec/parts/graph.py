"""Graphs of a few nodes, many at once: adjacencies are dense, since a loop over graphs would cost more than it saves."""

import torch
from torch import Tensor, nn

from reelvec.core.shapes import Bool, Float


def chain(nodes: int) -> Bool[Tensor, "n n"]:
    """Link neighbours in time, in both directions; [i, j] is an edge from j to i."""
    place = torch.arange(nodes)
    return (place[:, None] - place).abs() == 1


class GraphConvolution(nn.Module):
    """Mix each node with its neighbours: D^-1/2 (A + I) D^-1/2 X W + b (Kipf & Welling 2017, equation 2), no activation.

    D counts the edges that enter a node, its own loop among them. It is counted anew for every graph, so an edge may be
    missing in some of them, or in one direction.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Linear(inputs, outputs, bias=False)
        nn.init.xavier_uniform_(self.weight.weight)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, nodes: Float[Tensor, "b n d"], edges: Bool[Tensor, "b n n"]) -> Float[Tensor, "b n e"]:
        """Return the mixed nodes; `edges[:, i, j]` is an edge from j to i, loops are added here."""
        linked = edges | torch.eye(edges.shape[1], dtype=torch.bool, device=edges.device)
        scale = linked.sum(2).float().rsqrt()
        mixing = linked * scale[:, :, None] * scale[:, None, :]
        mapped = self.weight(nodes)
        return mixing.to(mapped.dtype) @ mapped + self.bias
