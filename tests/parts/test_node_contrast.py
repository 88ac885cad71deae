import math

import pytest
import torch

from reelvec.parts.node_contrast import node_contrast

TEMPERATURE = 0.5


def power(a, b):
    return math.exp((a @ b / (a.norm() * b.norm())).item() / TEMPERATURE)


def slow_node_contrast(first, second):
    graphs = []
    for u, v in zip(first, second, strict=True):
        nodes = []
        for i in range(len(u)):
            for a, b in ((u, v), (v, u)):
                below = sum(power(a[i], b[j]) for j in range(len(u)))
                below += sum(power(a[i], a[j]) for j in range(len(u)) if j != i)
                nodes.append(-math.log(power(a[i], b[i]) / below))
        graphs.append(sum(nodes) / len(nodes))
    return sum(graphs) / len(graphs)


@pytest.mark.parametrize("nodes", [2, 3, 4])
def test_it_equals_loops(nodes):
    generator = torch.Generator().manual_seed(nodes)
    first, second = (torch.randn(5, nodes, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    assert node_contrast(first, second, TEMPERATURE).item() == pytest.approx(slow_node_contrast(first, second))


def test_other_graphs_are_no_negatives():
    first, second = torch.randn(3, 4, 7), torch.randn(3, 4, 7)
    alone = torch.stack([node_contrast(first[i : i + 1], second[i : i + 1], TEMPERATURE) for i in range(3)])
    torch.testing.assert_close(node_contrast(first, second, TEMPERATURE), alone.mean())


def test_a_masked_node_of_zeros_has_a_finite_gradient():
    first, second = torch.zeros(1, 3, 4, requires_grad=True), torch.randn(1, 3, 4)
    node_contrast(first, second, TEMPERATURE).backward()
    assert first.grad.isfinite().all()
