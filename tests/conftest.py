"""What all tests share: checked shapes, one thread, real data where it is there, and video files made on the fly."""

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from jaxtyping import install_import_hook

# the hook rewrites modules as they are imported, so it stands before every import of reelvec. It takes the checker as an
# expression; by this one an int is a float, as it is in Python's own typing
install_import_hook("reelvec", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import av  # noqa: E402
import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)

# the fast lane asks the same questions every time; `make test-slow` asks new ones, and many
hypothesis.settings.register_profile("fast", derandomize=True, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=1000, deadline=None)
hypothesis.settings.load_profile("fast")

ENCODERS = {"h264": "libx264", "hevc": "libx265", "mpeg4": "mpeg4", "vp9": "libvpx-vp9", "mjpeg": "mjpeg"}
QUIET = {"libx264": {"preset": "ultrafast"}, "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"}}
"""options of an encoder that make it fast"""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos; a test that asks for it is skipped where there is none."""
    folder = Path(os.environ.get("REELVEC_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real videos at {folder}: set REELVEC_TEST_DATA to a folder of them")
    return folder


@pytest.fixture(scope="session")
def run_two_processes() -> Callable[[Path, Path], list]:
    """Start a script as process 0 and process 1 of two that meet in a folder; return what each left there, RANK.pt."""

    def run(script: Path, folder: Path) -> list:
        arguments = [[sys.executable, script, str(rank), folder] for rank in range(2)]
        processes = [subprocess.Popen(a, stderr=subprocess.PIPE, text=True) for a in arguments]
        try:
            errors = [process.communicate(timeout=240)[1] for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert [process.returncode for process in processes] == [0, 0], errors
        return [torch.load(folder / f"{rank}.pt") for rank in range(2)]

    return run


def numbered_picture(number: int, width: int, height: int) -> np.ndarray:
    """A picture whose eight vertical bars spell its number in bits (bar 0 is the lowest), over a still gradient."""
    bits = np.array([number >> bit & 1 for bit in range(8)])
    bars = bits[np.arange(width) * 8 // width]
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = picture[..., 1] = picture[..., 2] = 40 + 160 * bars
    picture[: height // 4, :, 0] = np.linspace(40, 200, width, dtype=np.uint8)
    return picture


@pytest.fixture(scope="session")
def read_number() -> Callable[[np.ndarray], int]:
    """Read the number back from a (not rotated) picture of `numbered_picture`, of any size."""

    def read(picture: np.ndarray) -> int:
        width = picture.shape[1]
        lower = picture[picture.shape[0] // 2 :].mean((0, 2))
        centres = ((np.arange(8) + 0.5) * width / 8).astype(int)
        return int(((lower[centres] > 120) << np.arange(8)).sum())

    return read


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    """A function that writes a video file; see `write_video` for its arguments."""
    return write_video


def write_video(
    path: str | os.PathLike[str],
    codec: str = "h264",
    frames: int = 24,
    size: tuple[int, int] = (64, 48),
    rate: int = 24,
    gop: int = 12,
    b_frames: int = 0,
    variable_rate: bool | list[int] = False,
    rotation: int = 0,
    audio: bool = False,
    picture: Callable[[int], np.ndarray] | None = None,
    options: dict[str, str] | None = None,
    first_tick: int = 0,
) -> Path:
    """Write a video with PyAV and return its path; the container follows from the suffix.

    Args:
        codec: h264, hevc, mpeg4, vp9 or mjpeg.
        size: width and height of the coded picture.
        gop: distance of key frames.
        variable_rate: True for steps of 1, 2, 5 and 3 ticks in turn, or the steps themselves; a tick is then 1 / (4 rate)
            seconds, otherwise 1 / rate.
        rotation: clockwise turn for display, written into the display matrix.
        audio: add a track of a tone.
        picture: frame number -> RGB array (h w 3); default: bars that spell the number in bits.
        options: options for the encoder, over the fast ones.
        first_tick: time stamp of the first frame, in ticks.
    """
    path, (width, height) = Path(path), size
    path.parent.mkdir(parents=True, exist_ok=True)
    encoder = ENCODERS[codec]
    steps = variable_rate if isinstance(variable_rate, list) else [1, 2, 5, 3] if variable_rate else [1]
    tick_seconds = Fraction(1, 4 * rate) if variable_rate else Fraction(1, rate)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=rate, options=QUIET.get(encoder, {}) | (options or {}))
        stream.width, stream.height, stream.gop_size = width, height, gop
        odd = width % 2 or height % 2
        stream.pix_fmt = {"mjpeg": "yuvj444p" if odd else "yuvj420p"}.get(codec, "yuv444p" if odd else "yuv420p")
        if codec == "mpeg4":
            stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = tick_seconds
        stream.codec_context.thread_count = 1
        if codec not in ("mjpeg", "vp9"):
            stream.codec_context.max_b_frames = b_frames
        if rotation:
            stream.set_display_rotation(-rotation)
        tone = container.add_stream("aac", rate=16000, layout="mono") if audio else None
        tick = first_tick
        for number in range(frames):
            content = picture(number) if picture else numbered_picture(number, width, height)
            frame = av.VideoFrame.from_ndarray(content, format="rgb24")
            frame.pts, frame.time_base = tick, tick_seconds
            container.mux(stream.encode(frame))
            tick += steps[number % len(steps)]
        container.mux(stream.encode())
        if tone is not None:
            _add_tone(container, tone, float(tick * tick_seconds))
    return path


def _add_tone(container: "av.container.OutputContainer", stream: "av.AudioStream", seconds: float) -> None:
    samples = (np.sin(np.arange(int(seconds * 16000)) * 0.1)[None] * 0.3).astype(np.float32)
    for start in range(0, samples.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(samples[:, start : start + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


@pytest.fixture(scope="session")
def small_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One H.264 file of 24 frames 64x48, key frames every 12, for tests that need just any video."""
    return write_video(tmp_path_factory.mktemp("small") / "small.mp4")
