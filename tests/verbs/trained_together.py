"""What each of two processes does in test_pretrain.py; a new process finds it by name."""

from collections.abc import Callable
from typing import Any

from reelvec.core import Method, collectives
from reelvec.verbs import pretrain


def train_and_compare(folder: str, tell: Callable[[dict], None]) -> dict[str, Any]:
    """Train as a process of `pretrain` does, and name the weights and buffers that then differ between the processes."""
    made: list[Method] = []
    build = pretrain.build_method

    def keep(config: Any) -> Method:
        made.append(build(config))
        return made[-1]

    pretrain.build_method = keep
    summary = pretrain._train(folder, tell)
    state = {name: collectives.gather(value[None]) for name, value in made[-1].state_dict().items()}
    return {**summary, "differ": [name for name, (ours, theirs) in state.items() if not ours.equal(theirs)]}
