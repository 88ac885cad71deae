import math

import numpy as np
import pytest
import torch

from reelvec.parts.attentive_pooler import AttentivePooler, heads_for


def layer_norm(x: np.ndarray, norm: torch.nn.LayerNorm) -> np.ndarray:
    scaled = [(row - row.mean()) / math.sqrt(row.var() + norm.eps) for row in x]
    return np.array(scaled) * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def linear(x: np.ndarray, layer: torch.nn.Linear) -> np.ndarray:
    return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def gelu(x: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda value: value * 0.5 * (1 + math.erf(value / math.sqrt(2))))(x)


def mlp(x: np.ndarray, layers: torch.nn.Sequential) -> np.ndarray:
    return linear(gelu(linear(x, layers[0])), layers[2])


def attention(queries: np.ndarray, tokens: np.ndarray, part: torch.nn.Module, heads: int) -> np.ndarray:
    """One query, one head, one token at a time."""
    dim = tokens.shape[1]
    wide = dim // heads
    query = linear(queries, part.query)
    both = linear(tokens, part.key_value)
    key, value = both[:, :dim], both[:, dim:]
    out = np.zeros((len(queries), dim))
    for q in range(len(queries)):
        for head in range(heads):
            of_head = slice(head * wide, (head + 1) * wide)
            weights = [math.exp(query[q, of_head] @ key[t, of_head] / math.sqrt(wide)) for t in range(len(tokens))]
            for t in range(len(tokens)):
                out[q, of_head] += weights[t] / sum(weights) * value[t, of_head]
    return out


@pytest.mark.parametrize("depth", [1, 4])
def test_the_pooler_is_the_papers_block(depth: int) -> None:
    torch.manual_seed(0)
    pooler = AttentivePooler(8, depth, heads=2).double()
    for weight in pooler.parameters():  # away from where they start, or the softmax is all but flat
        torch.nn.init.normal_(weight, std=0.5)
    tokens = torch.randn(2, 5, 8, dtype=torch.float64)
    for video, got in zip(tokens.numpy(), pooler(tokens).detach().numpy(), strict=True):
        x = video
        for block in pooler.blocks:
            normed = layer_norm(x, block.norm1)
            x = x + linear(attention(normed, normed, block.attention, 2), block.attention.projection)
            x = x + mlp(layer_norm(x, block.norm2), block.mlp)
        query = pooler.query.detach().numpy()[0]
        query = query + attention(query, layer_norm(x, pooler.norm1), pooler.attention, 2)  # no output projection
        query = query + mlp(layer_norm(query, pooler.norm2), pooler.mlp)
        np.testing.assert_allclose(got, query[0], rtol=1e-9)


def test_so_many_weights_as_the_papers_probes_have() -> None:
    """V-JEPA's probe of ViT-L on Kinetics, without its projection that is never used; V-JEPA 2's has 3 blocks more."""
    d = 1024
    norms, mlps = 2 * 2 * d, 2 * 4 * d * d + 5 * d
    cross = d + norms + (d * d + d) + (2 * d * d + 2 * d) + mlps
    own = norms + 4 * (d * d + d) + mlps
    with torch.device("meta"):
        counts = [sum(w.numel() for w in AttentivePooler(d, depth).parameters()) for depth in (1, 4)]
    assert counts[0] == cross
    assert counts[1] == counts[0] + 3 * own


def test_weights_start_as_the_papers() -> None:
    torch.manual_seed(0)
    pooler = AttentivePooler(64, 4)
    assert pooler.attention.query.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for number, block in enumerate(pooler.blocks):
        for layer in (block.mlp[2], block.attention.projection):
            assert layer.weight.std().item() == pytest.approx(0.02 / math.sqrt(2 * (number + 2)), rel=0.05)
    assert pooler.mlp[2].weight.std().item() == pytest.approx(0.02 / math.sqrt(2), rel=0.05)


def test_heads_divide_the_features() -> None:
    assert [heads_for(dim) for dim in (12, 64, 128, 768, 1024, 1408, 200)] == [1, 1, 2, 12, 16, 22, 2]


def test_order_of_tokens_plays_no_part() -> None:
    pooler, tokens = AttentivePooler(8, 2), torch.randn(3, 6, 8)
    torch.testing.assert_close(pooler(tokens), pooler(tokens.flip(1)), rtol=1e-4, atol=1e-6)
