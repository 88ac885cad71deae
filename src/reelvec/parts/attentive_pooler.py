"""The attentive probe of V-JEPA (arXiv 2404.08471) and V-JEPA 2 (2506.09985): a learned query that looks at all tokens."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reelvec.core.shapes import Float

_DEVIATION = 0.02
"""of the truncated normal that weights and query start from"""


def heads_for(dim: int) -> int:
    """Return how many heads attention over `dim` features has: 64 features each, as in vision transformers, or some more."""
    return next(heads for heads in range(max(1, dim // 64), 0, -1) if dim % heads == 0)


class _Attention(nn.Module):
    """Attention of queries over tokens. Without `project` the heads' outputs stand side by side and are the result."""

    def __init__(self, dim: int, heads: int, project: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key_value = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.projection = nn.Linear(dim, dim) if project else nn.Identity()

    def forward(self, queries: Float[Tensor, "b q d"], tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b q d"]:
        query = self.query(queries).unflatten(2, (self.heads, -1)).transpose(1, 2)  # b heads q d/heads
        key, value = self.key_value(tokens).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value)
        return self.projection(seen.transpose(1, 2).flatten(2))


def _mlp(dim: int, ratio: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, ratio * dim), nn.GELU(), nn.Linear(ratio * dim, dim))


class _SelfAttentionBlock(nn.Module):
    """A block of a vision transformer: every token looks at every other."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention, self.mlp = _Attention(dim, heads, project=True), _mlp(dim, mlp_ratio)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        normed = self.norm1(tokens)
        tokens = tokens + self.attention(normed, normed)
        return tokens + self.mlp(self.norm2(tokens))


class AttentivePooler(nn.Module):
    """Pool tokens to one vector: `depth` - 1 blocks of self-attention over the tokens, then cross-attention of a learned query.

    The query takes the residual path; only tokens are normalised before they are looked at, and there is no output projection
    and no norm at the end: what V-JEPA's code computes (eval_protocols, section j; its projection layer is declared and never
    used, and is left out here). Depth 1 is V-JEPA's probe, depth 4 that of V-JEPA 2. The order of tokens plays no part.
    """

    def __init__(self, dim: int, depth: int = 1, heads: int | None = None, mlp_ratio: int = 4) -> None:
        super().__init__()
        heads = heads or heads_for(dim)
        self.query = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, dim), std=_DEVIATION))
        self.blocks = nn.ModuleList(_SelfAttentionBlock(dim, heads, mlp_ratio) for _ in range(depth - 1))
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention, self.mlp = _Attention(dim, heads, project=False), _mlp(dim, mlp_ratio)
        self._initialise()

    def _initialise(self) -> None:
        """Truncated normal; what a block adds to its residual path starts smaller, by the square root of twice its number."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=_DEVIATION)
                nn.init.zeros_(module.bias)
        layers: list[tuple[int, nn.Module]] = [(1, self.mlp[-1])]
        for number, block in enumerate(self.blocks):
            assert isinstance(block, _SelfAttentionBlock)
            layers += [(number + 2, block.mlp[-1]), (number + 2, block.attention.projection)]
        for number, layer in layers:
            assert isinstance(layer, nn.Linear)
            layer.weight.data /= math.sqrt(2 * number)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
        """Pool the tokens of each video."""
        for block in self.blocks:
            tokens = block(tokens)
        query = self.query.expand(len(tokens), 1, -1)
        query = query + self.attention(query, self.norm1(tokens))
        return (query + self.mlp(self.norm2(query)))[:, 0]
