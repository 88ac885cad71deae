"""V3S-style pretext: tell how a clip was resampled in space and in time.

After Li et al., "Video 3D Sampling for Self-supervised Representation Learning" (arXiv 2107.03578). **Not a reproduction**: the
abstract alone was at hand. From it are the split into scale and projection, each in space and in time, and the joint use of
all of them. Every formula, class and number below is a reconstruction.

A video is a volume. It is read along bent axes (`reelvec.views.space_time`), and the network says by one linear classifier
for each factor how they were bent: scale in space (things are wider, taller), projection in space (they grow towards one side),
scale in time (faster), projection in time (fast first or slow first, and backwards if asked). A factor of weight 0 has no
classifier and is not applied, so that each target can be studied alone.
"""

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from reelvec.backbones import build_encoder
from reelvec.core import Batch, Config, Draws, Encoder, EncoderCard, Method, Needs, Progress, Stream, StreamNeed
from reelvec.core.shapes import Float, Int
from reelvec.views.space_time import Bends, Limits, SpaceTimeConfig, space_time_view

Stretch = Annotated[float, Field(ge=1)]
Tilt = Annotated[float, Field(gt=-0.5, lt=0.5)]


class V3sConfig(Config):
    """Settings; nothing is published that they could follow: the defaults are the reconstruction's."""

    encoder: str = "r3d_18"
    encoder_arguments: dict = {}
    frames: Annotated[int, Field(ge=3)] = 16
    """of a view; what is read from the video is long enough for the largest interval"""
    frames_per_second: PositiveFloat | None = 25.0
    """the rate at which intervals count; a fixed rate, or videos of different rates pass for different speeds"""
    short_side: PositiveInt = 128
    fit: Literal["keep", "square"] = "keep"
    space_scales: tuple[tuple[Stretch, Stretch], ...] = ((1.0, 1.0), (1.5, 1.0), (1.0, 1.5), (2.0, 1.0), (1.0, 2.0))
    """classes: how much wider and taller things look"""
    space_projections: tuple[tuple[Tilt, Tilt], ...] = ((0.0, 0.0), (0.3, 0.0), (-0.3, 0.0), (0.0, 0.3), (0.0, -0.3))
    """classes: towards which side things grow, h and v"""
    time_scales: tuple[PositiveInt, ...] = (1, 2, 4, 8)
    """classes: frames from one frame of the view to the next"""
    time_projections: tuple[Annotated[float, Field(gt=-1)], ...] = (0.0, 2.0, -2 / 3)
    """classes: c; time runs 1 + c times as fast at the beginning, 1 / (1 + c) times at the end"""
    direction: bool = False
    """whether backwards is a class of the projection in time too: twice as many classes"""
    space_scale_weight: NonNegativeFloat = 1.0
    space_projection_weight: NonNegativeFloat = 1.0
    time_scale_weight: NonNegativeFloat = 1.0
    time_projection_weight: NonNegativeFloat = 1.0
    plain_interval: PositiveInt = 1
    """interval of a plain clip: without the scale in time as a target, and after training"""
    view: SpaceTimeConfig = SpaceTimeConfig(
        size=112, crop=0.875, flip=0.5, jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1
    )

    @model_validator(mode="after")
    def _targets(self) -> "V3sConfig":
        if not self.weights:
            raise ValueError("all weights are 0: give one of the four targets a weight")
        for factor in self.weights:
            classes = getattr(self, f"{factor}s")
            if len(classes) < 2 or len(set(classes)) < len(classes):
                raise ValueError(f"{factor}s: two classes or more, each once, or {factor}_weight 0")
        return self

    @property
    def weights(self) -> dict[str, float]:
        """The factors that are targets, with their weights."""
        factors = ("space_scale", "space_projection", "time_scale", "time_projection")
        return {name: weight for name in factors if (weight := getattr(self, f"{name}_weight")) > 0}

    def classes(self, factor: str) -> int:
        """Return the number of classes of a factor."""
        return len(getattr(self, f"{factor}s")) * (2 if factor == "time_projection" and self.direction else 1)


class V3s(Method):
    """One network and a linear classifier for each factor."""

    Config = V3sConfig
    config: V3sConfig
    accumulates: ClassVar[bool] = True

    def __init__(self, config: V3sConfig) -> None:
        super().__init__()
        self.config = c = config
        self.visual = build_encoder(c.encoder, 3, **c.encoder_arguments)
        self.heads = nn.ModuleDict({factor: nn.Linear(self.visual.dim, c.classes(factor)) for factor in c.weights})

    def needs(self) -> Needs:
        """One clip of neighbouring frames, as long as a view at the largest interval."""
        c = self.config
        widest = max(c.time_scales) if "time_scale" in c.weights else c.plain_interval
        return self._needs((c.frames - 1) * widest + 1, 1)

    def _needs(self, frames: int, stride: int) -> Needs:
        c = self.config
        rgb = StreamNeed(stream=Stream.RGB, frames=frames, stride=stride)
        return Needs(streams=(rgb,), clips=1, frames_per_second=c.frames_per_second, short_side=c.short_side, fit=c.fit)

    def classes(self, draws: Draws) -> dict[str, Int[Tensor, "b"]]:
        """Draw the class of each factor that is a target: independent of one another, all classes alike."""
        c = self.config
        return {factor: (draws.uniform(factor) * c.classes(factor)).long() for factor in c.weights}

    def bends(self, classes: dict[str, Int[Tensor, "b"]]) -> Bends:
        """Look up what the classes stand for; a factor that is no target stays plain."""
        c, many = self.config, len(next(iter(classes.values())))

        def look_up(factor: str, plain: object) -> Tensor:
            chosen = classes.get(factor, torch.zeros(many, dtype=torch.int64))
            values = torch.tensor(getattr(c, f"{factor}s") if factor in classes else [plain])
            return values[chosen % len(values)]

        backwards = classes.get("time_projection", torch.zeros(many, dtype=torch.int64)) >= len(c.time_projections)
        return Bends(
            stretch=look_up("space_scale", (1.0, 1.0)), tilt=look_up("space_projection", (0.0, 0.0)),
            interval=look_up("time_scale", c.plain_interval), clock=look_up("time_projection", 0.0), backwards=backwards,
        )  # fmt: skip

    def limits(self) -> Limits:
        """Return the strongest bends of the targets: margin and blur of every view follow them, whatever its class."""
        c = self.config
        stretch = max(max(pair) for pair in c.space_scales) if "space_scale" in c.weights else 1.0
        tilt = max(abs(h) + abs(v) for h, v in c.space_projections) if "space_projection" in c.weights else 0.0
        return Limits(stretch=stretch, tilt=tilt)

    def view(self, batch: Batch, at: Progress, scope: str) -> tuple[Float[Tensor, "b 3 t s s"], dict[str, Int[Tensor, "b"]]]:
        """Draw classes and read one view of each clip by them."""
        c, host = self.config, at.draws(batch, scope).on_host()
        classes = self.classes(host.within("class"))
        clip = batch.clip(Stream.RGB, 0)
        return space_time_view(clip, self.bends(classes), self.limits(), c.frames, c.view, host), classes

    def step(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """L = sum over factors of weight x cross-entropy (card, section 6); log each with its accuracy."""
        view, classes = self.view(batch, at, "view0")
        features, outputs = self.visual.features(view), {}
        for factor, drawn in classes.items():
            logits, truth = self.heads[factor](features).float(), drawn.to(view.device)
            outputs[factor] = F.cross_entropy(logits, truth)
            outputs[f"{factor}_accuracy"] = (logits.argmax(1) == truth).float().mean()
        loss = torch.stack([weight * outputs[factor] for factor, weight in self.config.weights.items()]).sum()
        return {"loss": loss, **outputs}

    def after_step(self, at: Progress) -> None:
        """Nothing follows: there is no second network."""

    def embeddings(self, batch: Batch, at: Progress) -> Float[Tensor, "b n d"]:
        """Pool the features of two views of each clip, each with bends of its own."""
        return torch.stack([self.visual.features(self.view(batch, at, f"view{i}")[0]) for i in range(2)], 1)

    def encoders(self) -> dict[str, tuple[Encoder, EncoderCard]]:
        """Keep the network; it is fed plain clips."""
        c = self.config
        plain = self._needs(c.frames, c.plain_interval)
        return {"visual": (self.visual, EncoderCard.visual(self.visual, plain, c.view, "v3s"))}
