"""Parts of methods: losses as pure functions of tensors, heads, queues, slow networks, schedules, signs of health."""

from reelvec.parts.byol import byol
from reelvec.parts.heads import mlp
from reelvec.parts.info_nce import info_nce, info_nce_of_each
from reelvec.parts.momentum import move, slow_copy
from reelvec.parts.nt_xent import nt_xent, nt_xent_one_way
from reelvec.parts.queue import Queue
from reelvec.parts.schedules import cosine, momentum_schedule, warmup_cosine
from reelvec.parts.swav import sinkhorn, swapped_prediction
from reelvec.parts.synced_batch_norm import SyncedBatchNorm, sync_batch_norms

__all__ = [
    "Queue",
    "SyncedBatchNorm",
    "byol",
    "cosine",
    "info_nce",
    "info_nce_of_each",
    "mlp",
    "momentum_schedule",
    "move",
    "nt_xent",
    "nt_xent_one_way",
    "sinkhorn",
    "slow_copy",
    "swapped_prediction",
    "sync_batch_norms",
    "warmup_cosine",
]
