"""Planes of the codec: the same pictures as RGB, whatever colour space, size and turn the file has."""

import av
import numpy as np
import pytest

from reelvec.core import Needs, PlaneClips, Stream, StreamNeed
from reelvec.data.decode import decode_frames
from reelvec.data.index import index
from reelvec.data.loader import ClipLoader, EvenPlan
from reelvec.data.pictures import Planes, to_rgb
from reelvec.data.streams import read_clips

ROUNDING = 4
"""grey levels: the scaler behind RGB computes in small integers"""
SPACES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593), 2: (0.299, 0.114)}


def as_rgb(planes: Planes) -> np.ndarray:
    """Mix the planes pixel by pixel: n h w 3."""
    many, height, width = planes.luma.shape
    out = np.empty((many, height, width, 3))
    for i in range(many):
        for y in range(height):
            for x in range(width):
                u, v = planes.chroma[i, :, y // 2, x // 2]
                out[i, y, x] = planes.to_rgb[i] @ (planes.luma[i, y, x], u, v, 1)
    return out.clip(0, 255)


def smooth(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A picture without edges, so that halved colours are hardly seen."""
    x, y = np.meshgrid(np.linspace(0, 3, width), np.linspace(0, 2, height))
    return np.stack([127 + 90 * np.sin(x + c + 0.1 * number) * np.cos(y * (c + 1) / 2) for c in range(3)], 2).astype(np.uint8)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("space", SPACES)
def test_the_matrix_undoes_the_standards_own_formula(space, full):
    """Y = Kr R + Kg G + Kb B, U = (B - Y) / (2 (1 - Kb)), V = (R - Y) / (2 (1 - Kr)) (ITU-T H.273, section 8.3)."""
    red, blue = SPACES[space]
    for colour in np.random.default_rng(0).uniform(0, 255, (20, 3)):
        y = red * colour[0] + (1 - red - blue) * colour[1] + blue * colour[2]
        u, v = (colour[2] - y) / (2 * (1 - blue)), (colour[0] - y) / (2 * (1 - red))
        coded = (y, u + 128, v + 128) if full else (16 + y * 219 / 255, 128 + u * 224 / 255, 128 + v * 224 / 255)
        np.testing.assert_allclose(to_rgb(space, full) @ (*coded, 1), colour, atol=1e-3)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("space", [1, 2, 5, 9])
def test_planes_are_the_rgb_picture_in_every_colour_space(tmp_path, space, full):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p" if full else "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = space, 2 if full else 1
        for n in range(3):
            frame = av.VideoFrame.from_ndarray(smooth(n), "rgb24").reformat(format=stream.pix_fmt)
            frame.colorspace, frame.color_range = space, 2 if full else 1
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    row = index([path], workers=0).row(0)
    decoded = decode_frames(row, [2, 0], 48, 64, planes=True)
    assert decoded.frames.shape == (0, 48, 64, 3)
    assert decoded.planes is not None
    np.testing.assert_allclose(as_rgb(decoded.planes), decode_frames(row, [2, 0], 48, 64).frames, atol=ROUNDING)


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, (48, 64)),
        ({"size": (65, 49)}, (49, 65)),
        ({"size": (65, 49), "rotation": 90}, (65, 49)),
        ({"rotation": 180}, (48, 64)),
        ({"rotation": 270}, (32, 24)),
        ({"codec": "mjpeg", "suffix": ".avi"}, (24, 32)),
        ({"codec": "vp9", "size": (65, 49)}, (25, 33)),
    ],
)
def test_planes_are_the_rgb_picture_of_every_size_and_turn(make_video, tmp_path, settings, size):
    settings = dict(settings)
    suffix, (width, height) = settings.pop("suffix", ".mp4"), settings.get("size", (64, 48))
    path = make_video(tmp_path / f"a{suffix}", frames=4, picture=lambda n: smooth(n, width, height), **settings)
    row = index(path, workers=0).row(0)
    planes = decode_frames(row, [0, 3], *size, planes=True).planes
    assert planes is not None
    assert planes.chroma.shape == (2, 2, (size[0] + 1) // 2, (size[1] + 1) // 2)
    off = np.abs(as_rgb(planes) - decode_frames(row, [0, 3], *size).frames)
    # scaled to RGB, pictures come out up to two levels too dark; scaled as planes, colours are smoothed a second time
    assert off.mean() < ROUNDING
    assert np.quantile(off, 0.99) < 4 * ROUNDING


def needs(*streams: Stream, **more: object) -> Needs:
    return Needs(streams=tuple(StreamNeed(stream=stream, frames=4, stride=2) for stream in streams), **more)


def test_a_batch_in_planes_is_the_batch_in_rgb(make_video, tmp_path):
    """Videos of two sizes: the rest of the smaller one is zeros, its colours are its own."""
    for name, size in (("a", (64, 48)), ("b", (48, 40))):
        make_video(tmp_path / f"{name}.mp4", frames=24, size=size, picture=lambda n, size=size: smooth(n, *size))
    videos = index(tmp_path, workers=0)
    read = []
    for asked in (needs(Stream.RGB, Stream.FLOW), needs(Stream.RGB, Stream.FLOW).in_planes()):
        with ClipLoader(videos, asked, EvenPlan(videos, asked), 2) as loader:
            read.append(next(iter(loader.batches())))
    rgb, planes = (batch.streams[Stream.RGB] for batch in read)
    assert isinstance(planes, PlaneClips)
    assert set(read[1].streams) == {Stream.RGB, Stream.FLOW}
    assert planes.shape == rgb.shape
    assert planes.frames.sub(rgb.frames.float()).abs().max() <= ROUNDING
    assert not planes.frames[1, ..., 40:, :].any() or not planes.frames[0, ..., 40:, :].any()
    flow = [batch.streams[Stream.FLOW].frames.float() for batch in read]
    assert (flow[0] - flow[1]).abs().mean() < 0.05  # grey is the codec's own brightness here


def test_planes_come_from_the_cache_too(make_video, tmp_path):
    from reelvec.data.cache import DecodedCache

    row = index(make_video(tmp_path / "a.mp4", frames=12), workers=0).row(0)
    asked, cache = needs(Stream.RGB).in_planes(), DecodedCache(2**20)
    for _ in range(2):
        kept, plain = read_clips(row, asked, [0.0, 0.1], cache), read_clips(row, asked, [0.0, 0.1])
        assert {stream: array.shape[1] for stream, array in plain.items()} == {
            Stream.LUMA: 1,
            Stream.CHROMA: 2,
            Stream.TO_RGB: 12,
        }
        for stream, array in plain.items():
            np.testing.assert_array_equal(kept[stream], array)
    assert len(cache) == 3
    assert cache.used_bytes < 0.6 * 12 * 3 * row.height * row.width


def test_key_frames_travel_as_rgb():
    asked = needs(Stream.RGB, Stream.KEYFRAMES)
    assert asked.in_planes() is asked
