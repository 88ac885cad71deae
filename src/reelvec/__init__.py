"""reelvec: self-supervised learning on video. Heavy imports wait until a name is used."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_VERBS = {
    "index": "reelvec.data.index",
    "prepare": "reelvec.verbs.prepare",
    "pretrain": "reelvec.verbs.pretrain",
    "evaluate": "reelvec.evals",
    "compare": "reelvec.evals",
    "diagnose": "reelvec.evals",
    "diagnose_masks": "reelvec.evals",
    "health": "reelvec.evals",
    "import_encoder": "reelvec.verbs.import_encoder",
    "load_encoder": "reelvec.backbones",
    "battery": "reelvec.verbs.battery",
    "propagation": "reelvec.evals",
    "localisation": "reelvec.evals",
    "class_maps": "reelvec.evals",
    "detection": "reelvec.evals",
    "pair_similarity": "reelvec.evals",
    "report": "reelvec.verbs.report",
    "embed": "reelvec.embeddings",
    "search": "reelvec.embeddings",
    "open_embeddings": "reelvec.embeddings",
    "ReelvecError": "reelvec.core",
}


def __getattr__(name: str) -> Any:
    if name in _VERBS:
        return getattr(import_module(_VERBS[name]), name)
    raise AttributeError(f"module 'reelvec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*_VERBS, "__version__"]
