"""`reelvec health`: what the features of an encoder are like, without any label (eval_protocols, section l)."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reelvec.core import Encoder, EncoderCard, ReelvecError, RunFolder, write_json
from reelvec.core.shapes import Float
from reelvec.data.index import index
from reelvec.data.sources import Source
from reelvec.data.streams import check_needs, span_seconds
from reelvec.engine.device import choose_device
from reelvec.engine.extract import OnProgress, Piece, Reader, extract
from reelvec.evals.evaluate import encoder_facts, load_encoders, refuse_no_clips
from reelvec.evals.features import untrained_encoder
from reelvec.evals.health_picture import draw_health
from reelvec.evals.kept_steps import run_folder
from reelvec.parts.health import (
    alignment,
    between_share,
    cka,
    dead_dimensions,
    feature_std,
    mean_cosine,
    rank_me,
    spectrum_decay,
    top_share,
    uniformity,
)
from reelvec.views import normalise

FEWEST_VIDEOS = 8
LAYERS = 8
"""of a network, spread evenly over those with weights in the order in which they run"""

MEANING = {
    "rank_me": "directions that the features use: at most the smaller of dimensions and videos; compare runs of one method on "
    "the same videos, as more is not always better",
    "spectrum_decay": "alpha of eigenvalues i^-alpha: near 0 all directions alike, large: few carry everything",
    "top_share": "share of the variance in one direction",
    "dead_dimensions": "dimensions that hardly change from video to video",
    "feature_std": "spread of unit-length features, times the root of the dimensions: 1 spread out, 0 one point",
    "mean_cosine": "of two videos: 1 when all look the same; features without negative values never come near 0",
    "uniformity": "of unit-length features: 0 one point, about -4 spread out",
    "alignment": "mean squared distance of the first and the second half of a video, of unit length: 0 equal, 2 unrelated",
    "between_share": "share of the variance between videos, the rest lies between the halves of a video: 1 knows no time, "
    "0.5 halves are like two videos",
}
"""what each number says"""


def health(
    run: str | os.PathLike[str],
    videos: Source,
    *,
    beside: Sequence[str] = (),
    encoders: Sequence[str] | None = None,
    clips: int | None = None,
    device: str | None = None,
    workers: int = 0,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Look at the features of a run's encoders on unlabelled videos, beside the same networks untrained.

    Args:
        run: a run folder, or an encoder folder; FOLDER@STEP is the run as it was at a kept step.
        videos: a folder, pattern, CSV, index or list of 8 or more videos.
        beside: other runs (seeds, methods; checkpoints as FOLDER@STEP) whose features are compared with these by CKA.
        clips: clips of each half of a video; None: as many as lie end to end, 1 to 10.
        out: JSON file; None: evals/health-step<step>.json in the run folder. A picture is written beside it, as .png.

    Returns what is written: {"run", "videos", "asked", "encoders", "rows": [{"name", "dim", "values", "spectrum", "layers":
    {"names", "cka"}, "verdict"}], "alike": {"names", "cka"}, "meaning", "notes", "left_out", "file", "picture"}.
    Raises ReelvecError for a run or videos that do not fit.
    """
    refuse_no_clips(clips)
    loaded = load_encoders(run, tuple(encoders) if encoders else None)
    networks: dict[str, tuple[Encoder, EncoderCard]] = dict(loaded)
    networks |= {f"untrained {name}": (untrained_encoder(card, seed), card) for name, (_, card) in loaded.items()}
    for other in beside:
        networks |= {f"{Path(other).name}, {name}": pair for name, pair in load_encoders(other).items()}
    probed = index(videos, workers=workers or None)
    for _, card in networks.values():
        check_needs(probed, card.needs)
    usable = [probed.row(int(row)) for row in probed.usable()]
    halves = [
        Piece(row.row, part * row.duration_seconds / 2, (part + 1) * row.duration_seconds / 2)
        for row in usable
        for part in (0, 1)
    ]
    on_device = choose_device(device)
    watched = {name: _Watched(name, encoder, card, on_device) for name, (encoder, card) in networks.items()}
    read = extract(
        [one.reader for one in watched.values()], probed, halves, clips=clips, device=on_device, workers=workers,
        on_progress=on_progress,
    )  # fmt: skip
    whole = torch.from_numpy(read.found).reshape(-1, 2).all(1)
    longest = max(span_seconds(card.needs, usable[0]) for _, card in networks.values()) if usable else 0.0
    short = sum(row.duration_seconds < 2 * longest for row in usable)
    if int(whole.sum()) < FEWEST_VIDEOS:
        raise ReelvecError(
            f"look at features on {videos}", f"{int(whole.sum())} videos that can be read", f"give {FEWEST_VIDEOS} or more"
        )
    parts = {
        name: one.split(torch.from_numpy(read.vectors[name]).reshape(len(usable), 2, -1)[whole])
        for name, one in watched.items()
    }
    features = {name: layers[-1].mean(1) for name, layers in parts.items()}
    step = max(card.step for _, card in loaded.values())
    file = Path(out) if out is not None else RunFolder(run_folder(run)).evals / f"health-step{step:06d}.json"
    asked = {
        "videos": str(videos) if isinstance(videos, str | os.PathLike) else None, "beside": list(beside), "clips": clips,
        "encoders": None if encoders is None else list(encoders), "seed": seed,
    }  # fmt: skip
    result: dict[str, Any] = {
        "run": str(run),
        "videos": int(whole.sum()),
        "asked": asked,
        "encoders": {name: encoder_facts(card) for name, (_, card) in loaded.items()},
        "rows": [
            _row(name, parts[name], features.get(f"untrained {name}"), watched[name].layers)
            for name in parts
            if name in loaded or name.removeprefix("untrained ") in loaded
        ],
        "alike": {"names": list(features), "cka": [[float(cka(a, b)) for b in features.values()] for a in features.values()]},
        "meaning": MEANING,
        "notes": [f"{short} videos are shorter than two clips: their halves overlap, which makes them alike"] if short else [],
        "left_out": [{"path": path, "reason": reason} for path, reason in sorted((read.left_out | _bad(probed)).items())],
        "file": str(file),
        "picture": str(file.with_suffix(".png")),
    }
    write_json(file, result)
    draw_health(result, file.with_suffix(".png"))
    return result


def _bad(probed: Any) -> dict[str, str]:
    return {path: reason for path, _, reason in probed.bad()}


class _Watched:
    """An encoder whose reader returns the pooled maps of several layers, one after another, the features last."""

    def __init__(self, name: str, encoder: Encoder, card: EncoderCard, device: torch.device) -> None:
        self.encoder, self.card = encoder.to(device).eval().requires_grad_(False), card
        with_weights = [
            (place, module)
            for place, module in self.encoder.body.named_modules()
            if not list(module.children()) and getattr(module, "weight", None) is not None and module.weight.dim() > 1
        ]
        self.places = {module: place for place, module in with_weights}
        self.layers: list[str] = []
        self.sizes: list[int] = []
        self.reader = Reader(name, card.needs, card.size, self.vectors)

    def vectors(self, frames: Float[Tensor, "b c t s s"]) -> Float[Tensor, "b d"]:
        ran: dict[str, Tensor] = {}

        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            ran[self.places[module]] = _pooled(output, len(frames))

        hooks = [module.register_forward_hook(keep) for module in self.places]
        try:
            features = self.encoder.features(normalise(frames, self.card.mean, self.card.std))
        finally:
            for hook in hooks:
                hook.remove()
        every = list(ran)
        chosen = [every[i] for i in torch.linspace(0, len(every) - 1, min(LAYERS, len(every))).round().long().tolist()]
        self.layers = [*chosen, "features"]
        columns = [*(ran[place] for place in chosen), features]
        self.sizes = [column.shape[1] for column in columns]
        return torch.cat(columns, 1)

    def split(self, vectors: Float[Tensor, "n k d"]) -> list[Tensor]:
        return list(vectors.split(self.sizes, dim=2))


def _pooled(output: Tensor, clips: int) -> Float[Tensor, "b d"]:
    """Average maps (b d t h w), frames of clips (b*t d h w) or tokens (b n d) to a vector a clip."""
    if output.dim() >= 4:
        output = output.flatten(2).mean(2)
    elif output.dim() == 3:
        output = output.mean(1)
    return output.reshape(clips, -1, output.shape[-1]).mean(1)


def _row(name: str, layers: Sequence[Float[Tensor, "n k _"]], fresh: Tensor | None, names: Sequence[str]) -> dict[str, Any]:
    halves = layers[-1]
    z = halves.mean(1)
    values = {
        "rank_me": rank_me(z),
        "spectrum_decay": spectrum_decay(z),
        "top_share": top_share(z),
        "dead_dimensions": float(dead_dimensions(z)),
        "feature_std": feature_std(z),
        "mean_cosine": mean_cosine(z),
        "uniformity": uniformity(z),
        "alignment": alignment(halves[:, 0], halves[:, 1]),
        "between_share": between_share(halves),
    }
    variance = torch.linalg.svdvals(z.double() - z.double().mean(0)).square()
    pooled = [layer.mean(1) for layer in layers]
    return {
        "name": name,
        "dim": z.shape[1],
        "values": {key: float(value) for key, value in values.items()},
        "spectrum": (variance / variance.sum().clamp_min(1e-300)).tolist(),
        "layers": {"names": list(names), "cka": [[float(cka(a, b)) for b in pooled] for a in pooled]},
        "verdict": _verdict(values, z, fresh),
    }


def _verdict(values: dict[str, float], z: Tensor, fresh: Tensor | None) -> str:
    """Say in words what the numbers say, and no more."""
    most = min(z.shape)
    if values["rank_me"] < 2 or values["dead_dimensions"] == z.shape[1]:
        return "collapsed: all videos look the same to it"
    words = f"its features use {values['rank_me']:.1f} of at most {most} directions"
    if fresh is not None:
        words += f", those of the same network untrained {float(rank_me(fresh)):.1f}"
        same = float(cka(z, fresh))
        words += f"; they are {'still' if same > 0.95 else 'not'} those of the untrained network (CKA {same:.2f})"
    if values["between_share"] > 0.99:
        words += "; the halves of a video look the same to it: it knows which video it is, not what happens when"
    return words
