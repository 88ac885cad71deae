"""`reelvec doctor`: what this machine offers, said plainly, and a short trial of everything a run needs."""

import math
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import torch

from reelvec.backbones import build_encoder
from reelvec.core.machine import first_line, usable_cores
from reelvec.data.clips import clip_seconds, frames_at
from reelvec.data.decode import decode_frames
from reelvec.data.index import VideoRow, index

Verdict = Literal["good", "note", "problem"]
_GIB = 2**30
_READ = {"h264": "h264", "hevc": "hevc", "mpeg4": "mpeg4", "vp9": "vp9", "av1": "libdav1d", "mjpeg": "mjpeg"}
"""codec and the decoder that reads it without a GPU"""
_WRITE = {
    "h264": "libx264",
    "hevc": "libx265",
    "mpeg4": "mpeg4",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "mjpeg": "mjpeg",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at or tried."""

    what: str
    found: str
    verdict: Verdict = "good"
    advice: str = ""


def examine(self_test: bool = True, folder: str | os.PathLike[str] = ".") -> dict[str, Any]:
    """Look at versions, codecs and hardware, and try the whole way from a file to a step of training.

    `folder` is where runs would be written. Returns {"verdict": the worst one found, "machine": [...], "self_test": [...],
    "seconds": of the self test}; each finding has what, found, verdict, advice.
    """
    machine = [
        _python(),
        *(_package(name) for name in ("reelvec", "torch", "torchvision", "numpy", "opencv-python-headless", "pyarrow")),
        _video_library(),
        _codecs("codecs read", _READ, "r"),
        _codecs("codecs written", _WRITE, "w"),
        _gpu(),
        _cores(),
        _memory(),
        _shared_memory(),
        _disk(Path(folder)),
    ]
    started = time.perf_counter()
    trial = _try_everything() if self_test else []
    verdicts = {finding.verdict for finding in (*machine, *trial)}
    return {
        "verdict": next(word for word in ("problem", "note", "good") if word in verdicts),
        "machine": [asdict(finding) for finding in machine],
        "self_test": [asdict(finding) for finding in trial],
        "seconds": round(time.perf_counter() - started, 2),
    }


def _python() -> Finding:
    return Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _package(name: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        if name == "opencv-python-headless":  # other builds of OpenCV offer the same module under another name
            import cv2

            return Finding("opencv", cv2.__version__)
        return Finding(name, "not installed as a package", "problem", "install it again: make install")


def _video_library() -> Finding:
    libraries = ", ".join(f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in ("libavcodec", "libavformat"))
    return Finding("av", f"{version('av')} with FFmpeg {av.ffmpeg_version_info} inside ({libraries})")


def _codecs(what: str, codecs: dict[str, str], mode: Literal["r", "w"]) -> Finding:
    there = [codec for codec, name in codecs.items() if _has_codec(name, mode)]
    absent = [codec for codec in codecs if codec not in there]
    if not absent:
        return Finding(what, ", ".join(there))
    found = f"{', '.join(there) or 'none'}; not {', '.join(absent)}"
    if "h264" in absent:
        return Finding(
            what,
            found,
            "problem",
            "this build of PyAV lacks H.264: install the wheel, pip install --force-reinstall av",
        )
    return Finding(what, found, "note", "files of these codecs are reported as broken" if mode == "r" else "")


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        av.codec.Codec(name, mode)
    except ValueError:  # PyAV's UnknownCodecError is one
        return False
    return True


def _gpu() -> Finding:
    if not torch.cuda.is_available():
        kinds = {"CUDA": torch.version.cuda, "ROCm": torch.version.hip}
        built_for = " and ".join(f"{kind} {number}" for kind, number in kinds.items() if number)
        advice = "training runs on the CPU: good for the tiny network and the demo, slow for a real one"
        return Finding("gpu", f"none that torch can use (torch is built for {built_for or 'the CPU'})", "note", advice)
    names = []
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        names.append(f"{facts.name}, {facts.total_memory / _GIB:.0f} GiB")
    precision = "" if torch.cuda.is_bf16_supported() else "; no bfloat16: use precision=fp32"
    return Finding("gpu", "; ".join(names) + precision)


def _cores() -> Finding:
    cores = usable_cores()
    advice = "decoding and training share them: cache_gb=1 helps a small set" if cores <= 2 else ""
    return Finding("cores", f"{cores} usable of {os.cpu_count()}", "note" if advice else "good", advice)


def _memory() -> Finding:
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return Finding("memory", "this system does not say")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = first_line("/sys/fs/cgroup/memory.max")
    if limit.isdecimal():
        total = min(total, int(limit))
    small = total < 4 * _GIB
    advice = "use small batches and workers=0" if small else ""
    return Finding("memory", f"{total / _GIB:.1f} GiB", "note" if small else "good", advice)


def _shared_memory() -> Finding:
    place = Path("/dev/shm")
    if not place.is_dir():
        return Finding("shared memory", "no /dev/shm on this system")
    size = shutil.disk_usage(place).total
    if size < _GIB:
        advice = "decoding processes hand batches over through it: start the container with --shm-size=8g, or use workers=0"
        return Finding("shared memory", f"/dev/shm of {size / 2**20:.0f} MiB", "note", advice)
    return Finding("shared memory", f"/dev/shm of {size / _GIB:.1f} GiB")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    small = free < 2 * _GIB
    advice = "a run saves a few hundred MB for a real network: free some space or use out= elsewhere" if small else ""
    return Finding("disk", f"{free / _GIB:.1f} GiB free here", "note" if small else "good", advice)


def _try_everything() -> list[Finding]:
    """Encode, index, decode by time, train one step; what needs a failed step is left out."""
    findings: list[Finding] = []

    def attempt(what: str, work: Callable[[], tuple[Any, str]]) -> Any:
        started = time.perf_counter()
        try:
            result, found = work()
        except Exception as error:  # whatever goes wrong here is what the doctor is for
            findings.append(
                Finding(what, f"{type(error).__name__}: {error}", "problem", "this would stop a run on this machine")
            )
            return None
        findings.append(Finding(what, f"{found} ({time.perf_counter() - started:.2f} s)"))
        return result

    with tempfile.TemporaryDirectory(prefix="reelvec-doctor-") as place:
        file = Path(place) / "trial.mp4"
        pictures = attempt("encode a clip", lambda: _encode(file))
        row = None if pictures is None else attempt("index it", lambda: _index(file, len(pictures)))
        clip = None if row is None else attempt("decode it by time", lambda: _decode(row, pictures))
    if clip is not None:
        devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
        for device in devices:
            attempt(f"train on the {device.replace('cuda', 'gpu')}", partial(_train, clip, device))
    return findings


def _encode(file: Path, frames: int = 48, side: int = 72, rate: int = 24) -> tuple[Sequence[np.ndarray], str]:
    pictures = []
    for number in range(frames):
        picture = np.full((side, side, 3), 60, np.uint8)
        picture[20:44, number : number + 24] = (220, 160, 40)
        pictures.append(picture)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = side, side, "yuv420p", 12
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return pictures, f"{frames} frames of H.264"


def _index(file: Path, frames: int) -> tuple[VideoRow, str]:
    row = index([file], workers=0).row(0)
    if row.status != "ok" or row.frames != frames:
        raise RuntimeError(f"{row.frames} of {frames} frames found, status {row.status} {row.reason}")
    return row, f"all {frames} frame times found"


def _decode(row: VideoRow, pictures: Sequence[np.ndarray]) -> tuple[torch.Tensor, str]:
    starts = (0.1, 0.5, 0.9, 1.1)
    clips = []
    for start in starts:
        wanted = frames_at(row.frame_seconds, row.duration_seconds, clip_seconds(start, 8, 2 / 24))
        frames = decode_frames(row, wanted.tolist(), 64, 64).frames
        drawn = np.stack([pictures[number] for number in wanted])
        # the brightest column of each frame says where the square is, whatever the compression does to it
        off = np.abs(_centre(frames) / 64 - _centre(drawn) / 72).max()
        if off > 0.02:
            raise RuntimeError(f"frames at {start} s are not those that were asked for")
        clips.append(torch.from_numpy(frames).permute(3, 0, 1, 2))
    return torch.stack(clips).float() / 255, f"{len(starts)} clips of 8 frames, the right ones"


def _centre(frames: np.ndarray) -> np.ndarray:
    weight = np.clip(frames[..., 0].astype(float).mean(1) - 70, 0, None)
    return (weight * np.arange(frames.shape[2])).sum(1) / weight.sum(1)


def _train(clips: torch.Tensor, device: str) -> tuple[float, str]:
    encoder = build_encoder("tiny", 3).to(device)
    optimiser = torch.optim.AdamW(encoder.parameters(), 1e-3)
    first, second = clips.to(device), clips.flip(-1).to(device)
    same = torch.arange(len(clips), device=device)
    for _ in range(2):  # the first step pays for the start of the libraries
        started = time.perf_counter()
        similarity = encoder.features(first) @ encoder.features(second).T
        loss = torch.nn.functional.cross_entropy(similarity, same)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        value = float(loss.detach())
        seconds = time.perf_counter() - started
    if not math.isfinite(value):
        raise RuntimeError(f"the loss is {value}")
    return value, f"loss {value:.3f}, {2 * len(clips) / seconds:.0f} clips/s with the tiny network"
