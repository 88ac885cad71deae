"""TCGL: snippets of a video in order, and as nodes of graphs that are told apart.

Liu, Wang, Liu, Lan & Lin, "TCGL: Temporal Contrastive Graph for Self-supervised Video Representation Learning" (IEEE TIP 2022,
arXiv 2112.03587), after "Temporal Contrastive Graph Learning" (arXiv 2101.00820).

Three snippets follow one another in a video. They are shuffled, and their order is a class. Short pieces of a snippet are the
nodes of one graph, the snippets themselves of another; neighbours in time are linked. A second view of each graph loses edges
and features, and each node has to find itself in it among the nodes of its graph.

Deviations from the released code: the order head reads the snippets as the encoder gives them, not as the graph mixes them.
Links between true neighbours tell which snippet stands in the middle, and so all but the direction of time; a complete graph
of three nodes, the other way out, gives all of them the same features. The mean over time is taken out of the clips inside the
encoder, so that it is taken out wherever the encoder is used. Dropped edges, features and units are drawn per sample. The
default depth is r3d_18; the released scripts differ among themselves, pre-training on UCF101 with (3, 4, 6, 3) blocks, which is
r3d_34. As there, the sets of C3D are shown twice, because its pools need eight frames.
"""

from math import factorial
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from reelvec.backbones import build_encoder
from reelvec.backbones.c3d import LEAST_FRAMES
from reelvec.core import Batch, Config, Draws, Encoder, EncoderCard, Method, Needs, Progress, Stream, StreamNeed, Times
from reelvec.core.shapes import Float
from reelvec.parts.graph import GraphConvolution, chain
from reelvec.parts.node_contrast import node_contrast
from reelvec.parts.snippet_order import OrderHead, all_orders
from reelvec.views import ViewConfig, make_view

Share = Annotated[float, Field(ge=0, lt=1)]


class TcglConfig(Config):
    """Settings; the defaults are those of the released UCF101 configuration with an R3D, but for its depth."""

    encoder: str = "r3d_18"
    encoder_arguments: dict = {"remove_temporal_mean": True}
    """the released code feeds every clip less its mean over time, in evaluation too"""
    snippets: Annotated[int, Field(ge=2, le=4)] = 3
    frames: PositiveInt = 16
    """of a snippet"""
    stride: PositiveInt = 1
    frame_sets: Annotated[int, Field(ge=2)] = 4
    """pieces of a snippet: the nodes of its graph"""
    gap_seconds: NonNegativeFloat = 0.32
    """between the end of a snippet and the start of the next; 8 frames at the 25 per second of UCF101"""
    frames_per_second: PositiveFloat | None = None
    """the rate at which the stride counts; none: the file's own"""
    short_side: PositiveInt = 128
    fit: Literal["keep", "square"] = "keep"
    view: ViewConfig = ViewConfig(
        size=112, area=(0.573, 0.573), aspect=(1.0, 1.0), flip=0.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    """one draw for all snippets of a video; 0.573 is the share of 112x112 in 171x128, the size of the released code's frames"""
    dropped_edges: Share = 0.2
    """probability of each edge, in each direction, to be missing in the second view of a graph"""
    masked_features: Share = 0.1
    """probability of each feature to be 0 in all nodes of the second view"""
    temperature: PositiveFloat = 0.5
    dim: PositiveInt = 512
    """of the nodes after a graph convolution, and of their projections"""
    hidden: PositiveInt = 256
    """of the gates"""
    order_hidden: PositiveInt = 512
    dropout: Share = 0.1
    """of the hidden layer of the order head"""
    order_weight: NonNegativeFloat = 1.0
    intra_weight: NonNegativeFloat = 1.0
    inter_weight: NonNegativeFloat = 1.0

    @model_validator(mode="after")
    def _terms(self) -> "TcglConfig":
        if self.frames % self.frame_sets:
            raise ValueError(f"frame_sets: {self.frames} frames do not part into {self.frame_sets} equal sets")
        if self.order_weight + self.intra_weight + self.inter_weight == 0:
            raise ValueError("all weights are 0: give one of the three terms a weight")
        return self


class Tcgl(Method):
    """An encoder, an order head, and graph convolutions with one projection for both kinds of graph."""

    Config = TcglConfig
    config: TcglConfig
    accumulates: ClassVar[bool] = True

    def __init__(self, config: TcglConfig) -> None:
        super().__init__()
        self.config = c = config
        self.visual = build_encoder(c.encoder, 3, **c.encoder_arguments)
        width = self.visual.dim
        if c.order_weight:  # a term of weight 0 has no weights
            self.order_head = OrderHead(c.snippets, width, c.hidden, c.order_hidden)
        if c.intra_weight:  # a convolution for each place of a snippet in the video
            self.intra = nn.ModuleList(GraphConvolution(width, c.dim) for _ in range(c.snippets))
        if c.inter_weight:
            self.inter = GraphConvolution(width, c.dim)
        if c.intra_weight or c.inter_weight:
            self.projection = nn.Sequential(nn.Linear(c.dim, c.dim), nn.ELU(), nn.Linear(c.dim, c.dim))

    def needs(self) -> Needs:
        """Snippets one after the other."""
        c = self.config
        return Needs(
            streams=(StreamNeed(stream=Stream.RGB, frames=c.frames, stride=c.stride),), clips=c.snippets,
            times=Times(rule="sequence", min_seconds=c.gap_seconds), frames_per_second=c.frames_per_second,
            short_side=c.short_side, fit=c.fit,
        )  # fmt: skip

    def views(self, batch: Batch, at: Progress) -> Float[Tensor, "b n c t s s"]:
        """Read the snippets in the order of the video, all through one draw of crop, flip and colours."""
        draws = at.draws(batch, "view")
        clips = [batch.clip(Stream.RGB, i) for i in range(self.config.snippets)]
        return torch.stack([make_view(clip, self.config.view, draws).frames for clip in clips], 1)

    def step(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """L = w_order L_order + w_intra L_intra + w_inter L_inter (card, section 6)."""
        c, draws, views = self.config, at.draws(batch, "graph"), self.views(batch, at)
        outputs = {}
        if c.order_weight or c.inter_weight:
            snippets = self.visual.features(views.flatten(0, 1)).unflatten(0, views.shape[:2])  # b n d, in the video's order
        if c.order_weight:
            truth, logits = self.tell_order(snippets, at.draws(batch, "order"))
            outputs["order"] = F.cross_entropy(logits.float(), truth)
            outputs["order_accuracy"] = (logits.argmax(1) == truth).float().mean()
        if c.intra_weight:
            sets = self.frame_sets(views)
            nodes = self.visual.features(sets.flatten(0, 2)).unflatten(0, sets.shape[:3])
            graphs = [self.contrast(nodes[:, i], self.intra[i], draws.within(f"intra{i}")) for i in range(c.snippets)]
            outputs["intra"] = torch.stack(graphs).mean()
        if c.inter_weight:
            outputs["inter"] = self.contrast(snippets, self.inter, draws.within("inter"))
        weights = {"order": c.order_weight, "intra": c.intra_weight, "inter": c.inter_weight}
        loss = torch.stack([weight * outputs[term] for term, weight in weights.items() if weight]).sum()
        return {"loss": loss, **outputs}

    def frame_sets(self, views: Float[Tensor, "b n c t s s"]) -> Float[Tensor, "b n k c t2 s s"]:
        """Cut snippets into sets of neighbouring frames; a set too short for C3D is repeated until it is long enough."""
        sets = views.unflatten(3, (self.config.frame_sets, -1)).movedim(3, 2)
        shortest = LEAST_FRAMES if self.visual.architecture == "c3d" else 1
        return sets.repeat(1, 1, 1, 1, -(-shortest // sets.shape[4]), 1, 1)

    def tell_order(self, snippets: Float[Tensor, "b n d"], draws: Draws) -> tuple[Tensor, Float[Tensor, "b classes"]]:
        """Shuffle the snippets; return the class of each order, and the logits of what is told from the features alone."""
        c = self.config
        truth = (draws.uniform("class") * factorial(c.snippets)).long()
        order = all_orders(c.snippets).to(truth.device)[truth]
        shown = snippets.take_along_dim(order[:, :, None], 1)
        if not (self.training and c.dropout):
            return truth, self.order_head(shown)
        kept = draws.uniform("dropout", many=c.order_hidden) >= c.dropout
        return truth, self.order_head(shown, kept.float() / (1 - c.dropout))

    def contrast(self, nodes: Float[Tensor, "b n d"], convolution: nn.Module, draws: Draws) -> Float[Tensor, ""]:
        """Contrast a graph of neighbours in time with a view of it that lacks some edges and some features."""
        c, (many, size, width) = self.config, nodes.shape
        edges = chain(size).to(nodes.device).expand(many, size, size)
        kept_edges = (draws.uniform("edges", many=size * size) >= c.dropped_edges).view(many, size, size)
        kept_features = draws.uniform("features", many=width)[:, None] >= c.masked_features
        whole = self.projection(convolution(nodes, edges))
        part = self.projection(convolution(nodes * kept_features, edges & kept_edges))
        return node_contrast(whole, part, c.temperature)

    def after_step(self, at: Progress) -> None:
        """Nothing follows: there is no second network."""

    def embeddings(self, batch: Batch, at: Progress) -> Float[Tensor, "b n d"]:
        """Pool the features of every snippet."""
        views = self.views(batch, at)
        return self.visual.features(views.flatten(0, 1)).unflatten(0, views.shape[:2])

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the encoder."""
        return {"visual": (self.visual, EncoderCard.visual(self.visual, self.needs(), self.config.view, "tcgl"))}
