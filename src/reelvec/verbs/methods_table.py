"""`reelvec methods`: what each method learns from and what it needs, read from the methods themselves."""

import re
import sys
from typing import Any

import torch

from reelvec.core import Method
from reelvec.methods import METHODS

_PATENTS = {"modist": "US 11,971,956 (granted 2024) covers the idea of MoDist"}


def list_methods() -> list[dict[str, Any]]:
    """One row a method, with the numbers of its default settings, which are the paper's.

    Keys: name, summary, paper (arXiv number), encoder, streams (names), clips, frames, stride, size, accumulates, encoders
    (names of what is kept), patent (empty where none is known).
    """
    return [_row(name, kind) for name, kind in METHODS.items()]


def _row(name: str, kind: type[Method]) -> dict[str, Any]:
    with torch.device("meta"):  # the networks by shape alone: no memory, no time
        method = kind(kind.Config())
    needs, kept = method.needs(), method.encoders()
    encoder, card = kept["visual"]
    text = sys.modules[kind.__module__].__doc__ or ""
    paper = re.search(r"arXiv\s+(\d{4}\.\d{4,5})", text)
    return {
        "name": name,
        "summary": text.strip().splitlines()[0],
        "paper": f"arXiv {paper[1]}" if paper else "",
        "encoder": encoder.architecture,
        "streams": [need.stream.value for need in needs.streams],
        "clips": needs.clips,
        "frames": card.needs.streams[0].frames,
        "stride": card.needs.streams[0].stride,
        "size": card.size,
        "accumulates": kind.accumulates,
        "encoders": sorted(kept, key=lambda key: (key != "visual", key)),
        "patent": _PATENTS.get(name, ""),
    }
