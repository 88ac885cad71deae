import math

import torch

from reelvec.parts.graph import GraphConvolution, chain


def slow_convolution(nodes, edges, weight, bias):
    """D^-1/2 (A + I) D^-1/2 X W + b by loops; the degree of a node counts the edges that enter it and its loop."""
    size = len(nodes)
    enters = [[1.0 if i == j or edges[i][j] else 0.0 for j in range(size)] for i in range(size)]
    degree = [sum(row) for row in enters]
    mixed = []
    for i in range(size):
        total = bias.clone()
        for j in range(size):
            total = total + enters[i][j] / math.sqrt(degree[i] * degree[j]) * (weight @ nodes[j])
        mixed.append(total)
    return torch.stack(mixed)


def test_a_chain_links_neighbours_in_both_directions():
    assert chain(4).int().tolist() == [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]]


def test_the_convolution_equals_loops_also_where_one_direction_is_missing():
    torch.manual_seed(0)
    convolution = GraphConvolution(5, 3).double()
    torch.nn.init.normal_(convolution.bias)
    nodes = torch.randn(2, 4, 5, dtype=torch.float64)
    edges = torch.stack([chain(4), chain(4)])
    edges[1, 0, 1] = edges[1, 2, 3] = edges[1, 3, 2] = False  # degrees are counted anew: node 3 keeps its loop alone
    mixed = convolution(nodes, edges)
    for graph in range(2):
        slow = slow_convolution(nodes[graph], edges[graph].tolist(), convolution.weight.weight, convolution.bias)
        # degrees are small whole numbers whose roots are taken in float32
        torch.testing.assert_close(mixed[graph], slow, rtol=1e-6, atol=1e-6)


def test_a_complete_graph_gives_all_nodes_the_same_features():
    """Why the order of snippets cannot be told from a complete graph (docs/methods/tcgl.md)."""
    convolution = GraphConvolution(5, 3)
    mixed = convolution(torch.randn(2, 3, 5), torch.ones(2, 3, 3, dtype=torch.bool))
    torch.testing.assert_close(mixed, mixed[:, :1].expand_as(mixed))
