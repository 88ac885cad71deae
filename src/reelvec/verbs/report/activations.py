"""Where an encoder's features are large: the squared feature map, summed over channels, laid over the frames it saw."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.backbones import load_encoder
from reelvec.core import Clips, Encoder, EncoderCard, ReelvecError, Stream, StreamNeed
from reelvec.core.shapes import Float, UInt8
from reelvec.data.clips import even_starts
from reelvec.data.decode import DecodeError
from reelvec.data.index import VideoRow
from reelvec.data.streams import read_clips, span_seconds
from reelvec.evals.features import untrained_encoder
from reelvec.verbs.report.markup import Html, hint, join, tag
from reelvec.verbs.report.pictures import FRAMES, Pictures, cell, file_name, plain_name, playing_row
from reelvec.verbs.report.story import RunStory
from reelvec.views import centre_view, normalise

VIDEOS = 4
_SIDE = 112
"""pixels of the pictures on the page"""


def activations_block(story: RunStory, name: str, paths: Sequence[str], pictures: Pictures) -> Html:
    """Show for some videos what an encoder saw, where its features are large, and the same of the network untrained."""
    try:
        encoder, card = load_encoder(story.path, name)
        fresh = untrained_encoder(card, seed=0)
    except (ReelvecError, RuntimeError) as error:
        return hint(f"The encoder cannot be loaded: {str(error).splitlines()[0]}")
    rows = [_video(encoder, fresh.eval(), card, path, pictures) for path in paths]
    shown = [row for row in rows if row is not None]
    if not shown:
        return hint("None of the videos can be read any more.")
    return tag("div", *shown, class_="triples")


def _video(encoder: Encoder, fresh: Encoder, card: EncoderCard, path: str, pictures: Pictures) -> Html | None:
    row = pictures.row(path)
    if row is None:
        return None
    try:
        clip, seen, seconds = look(row, card)
    except (DecodeError, ReelvecError):
        return None
    trained, untrained = energy(encoder, card, clip), energy(fresh, card, clip)
    name = plain_name(path)
    cells = [
        cell(
            pictures.of_frames(small(seen), seconds, f"Frames of {name} that the encoder saw"),
            tag("b", "seen"),
            tag("br"),
            file_name(path),
        ),
        cell(
            pictures.of_frames(overlaid(seen, trained), seconds, f"Activation of the encoder over {name}"),
            tag("b", "this encoder"),
            tag("br"),
            in_words(trained),
        ),
        cell(
            pictures.of_frames(overlaid(seen, untrained), seconds, f"Activation of the untrained network over {name}"),
            tag("b", "untrained"),
            tag("br"),
            in_words(untrained),
        ),
    ]
    return playing_row(f"Activation over {name}", *cells)


def look(row: VideoRow, card: EncoderCard) -> tuple[Float[Tensor, "1 c t s s"], UInt8[np.ndarray, "t s s 3"], float]:
    """Read the clip in the middle of a video: as the encoder sees it (not normalised), and as RGB; and its length."""
    need = card.needs.streams[0]
    span = span_seconds(card.needs, row)
    starts = even_starts(1, row.duration_seconds, span).tolist()
    vectors = need.stream in (Stream.FLOW, Stream.MOTION_VECTORS)
    clip = _square(
        read_clips(row, card.needs, starts)[need.stream], card.size, vectors, 8 if need.stream is Stream.MOTION_VECTORS else 1
    )
    if need.stream is Stream.RGB:
        shown = clip
    else:
        rgb = StreamNeed(stream=Stream.RGB, frames=need.frames, stride=need.stride)
        shown = _square(read_clips(row, card.needs.alone(rgb), starts)[Stream.RGB], card.size, False, 1)
    picture = (shown[0].permute(1, 2, 3, 0) * 255).round().clamp(0, 255).byte().numpy()
    return clip, picture, span


def _square(frames: np.ndarray, size: int, vectors: bool, cell: int) -> Float[Tensor, "1 c t s s"]:
    tensor = torch.from_numpy(np.ascontiguousarray(frames))[None]
    clips = Clips(tensor, torch.tensor([list(tensor.shape[-2:])]))
    return centre_view(clips, size, vectors=vectors, cell=cell)


@torch.inference_mode()
def energy(encoder: Encoder, card: EncoderCard, clip: Float[Tensor, "1 c t s s"]) -> Float[Tensor, "t s s"]:
    """Return the squared feature map summed over channels, upsampled over time and space to the clip, in [0, 1]."""
    features = encoder(normalise(clip, card.mean, card.std)).float()
    summed = features.square().sum(1, keepdim=True)
    whole = F.interpolate(summed, size=tuple(clip.shape[2:]), mode="trilinear", align_corners=False)[0, 0]
    low, high = whole.min(), whole.max()
    return (whole - low) / (high - low).clamp(min=1e-12)


def in_words(activation: Float[Tensor, "t s s"]) -> str:
    """Say where activation lies, for who does not see it: the ninth of the picture that holds most of it."""
    share = F.adaptive_avg_pool2d(activation.mean(0)[None, None], 3).flatten()
    total = float(share.sum())
    if total <= 0:
        return "the same everywhere"
    place = int(share.argmax())
    down, across = ("top", "middle", "bottom")[place // 3], ("left", "centre", "right")[place % 3]
    return f"most at {down} {across}, {100 * float(share[place]) / total:.0f} % (even: 11 %)"


def small(frames: UInt8[np.ndarray, "t s s 3"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Pick the frames of a strip and bring them to the page's size."""
    picked = frames[np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]
    return np.stack(
        [
            cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA if len(frame) > _SIDE else cv2.INTER_CUBIC)
            for frame in picked
        ]
    )


def overlaid(frames: UInt8[np.ndarray, "t s s 3"], activation: Float[Tensor, "t s s"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Lay activation over darkened grey frames: nothing where it is low, yellow where it is high."""
    heat = small(np.repeat((activation.numpy() * 255).round().astype(np.uint8)[..., None], 3, axis=-1))
    grey = small(frames).astype(np.float32).mean(-1, keepdims=True) * 0.55
    share = heat[..., :1].astype(np.float32) / 255
    coloured = np.stack([cv2.cvtColor(cv2.applyColorMap(h[..., 0], cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB) for h in heat])
    mixed = grey * (1 - 0.8 * share) + coloured * share
    return mixed.clip(0, 255).astype(np.uint8)


def explained() -> Html:
    """Say what the pictures are, and what they are not."""
    words = (
        "Bright: the squared features are large there (summed over channels, upsampled over the frames of the middle clip). It "
        "shows where the network answers strongly, not why. The same network untrained stands beside it: what both show comes "
        "from the architecture and from edges in the picture, not from learning."
    )
    return join([tag("p", words, class_="dim")])
