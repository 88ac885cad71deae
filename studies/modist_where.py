"""MoDist's claim about where the RGB encoder looks: more on what moves than without the motion pathway."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from reelvec.core import Encoder, EncoderCard, Stream
from reelvec.data.index import Index
from reelvec.data.loader import ClipLoader, EvenPlan
from reelvec.data.shapes import Truth
from reelvec.verbs.study import UNTRAINED, Arm, Claim, Study
from reelvec.views import centre_view, normalise


def energy_on_sprites(encoder: Encoder, card: EncoderCard, found: Index, videos: Path) -> dict[str, float]:
    """Share of activation energy on the sprites of test videos, over their share of the picture: 1 is no preference.

    Energy is the mean over channels of the absolute feature map (card of MoDist, section 10, claim 3), at the map's own
    resolution; masks are averaged down to it in space and time.
    """
    rows = [i for i in range(len(found)) if Path(found.row(i).path).parent == (videos / "test").resolve()]
    encoder.eval()
    energies, masks = [], []
    with ClipLoader(found, card.needs, EvenPlan(found, card.needs, rows=rows, clips=1), 64) as loader, torch.no_grad():
        for batch in loader.batches():
            frames = normalise(centre_view(batch.clip(Stream.RGB, 0), card.size), card.mean, card.std)
            energies.append(encoder(frames).abs().mean(1))
            starts = zip(batch.rows.tolist(), batch.start_seconds[:, 0].tolist(), strict=True)
            masks += [
                _mask(found, videos, row, start, card.needs.need(Stream.RGB).stride, frames.shape[2]) for row, start in starts
            ]
    energy = torch.cat(energies)
    mask = F.adaptive_avg_pool3d(torch.from_numpy(np.stack(masks)), energy.shape[1:])
    inside = (energy * mask).sum((1, 2, 3)) / energy.sum((1, 2, 3))
    return {"energy on what moves": float((inside / mask.mean((1, 2, 3))).mean())}


def _mask(found: Index, videos: Path, row: int, start_seconds: float, stride: int, frames: int) -> np.ndarray:
    """1 where a sprite is seen, for the frames of a clip (t h w)."""
    video = found.row(row)
    path = Path(video.path)
    truth = Truth.load((videos / "truth" / path.relative_to(videos.resolve())).with_suffix(".npz"))
    first = round(start_seconds * video.frames_per_second)
    return (truth.masks[(first + stride * np.arange(frames)) % len(truth.masks)] > 0).astype(np.float32)


STUDY = Study(
    question="Does the RGB encoder of MoDist respond more where things move?",
    source="MoDist, arXiv 2106.09703, abstract",
    arms={
        "modist": Arm("modist"),
        "no cross term": Arm("modist", ("cross_weight=0",)),
    },
    claims=(
        Claim("the cross term draws the response to what moves", "modist", "no cross term", "energy on what moves"),
        Claim("training draws the response to what moves", "modist", UNTRAINED, "energy on what moves"),
    ),
    measure=energy_on_sprites,
)
