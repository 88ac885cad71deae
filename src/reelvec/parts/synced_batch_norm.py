"""Batch normalisation over the batches of all processes, on any device and backend.

torch.nn.SyncBatchNorm runs on GPUs only; two gloo processes on a CPU need it as much, or each normalises by its own
half of the batch and two processes are not one of twice the batch.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reelvec.core.collectives import gather, total, world
from reelvec.core.shapes import Float


class SyncedBatchNorm(_BatchNorm):
    """nn.BatchNorm1d, 2d and 3d over all processes. With one process, or outside training, it is exactly torch's."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"batch normalisation needs (b c ...), got {input.ndim} dimension(s)")

    def forward(self, input: Float[Tensor, "b c *rest"]) -> Float[Tensor, "b c *rest"]:
        """Normalise each channel by its mean and variance over the whole batch; keep running statistics of the same."""
        if world() == 1 or not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        wide = input.detach().to(torch.promote_types(input.dtype, torch.float32))
        count, mean, variance = _statistics(wide.transpose(0, 1).flatten(1))
        self._remember(count, mean, variance)
        inverse_std = (variance + self.eps).rsqrt()
        shape = (1, -1, *[1] * (input.ndim - 2))
        # a float64 weight under float64 input, float32 otherwise; the output has the input's type, as torch's does
        output = _Normalise.apply(input, mean.view(shape), inverse_std.view(shape), count)
        if self.weight is not None:
            output = torch.addcmul(self.bias.view(shape), output, self.weight.view(shape))
        return output.to(input.dtype)

    @torch.no_grad()
    def _remember(self, count: Tensor, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        unbiased = variance * count / (count - 1)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


def _statistics(x: Float[Tensor, "c b_rest"]) -> tuple[Float[Tensor, ""], Float[Tensor, "c"], Float[Tensor, "c"]]:
    """Count, mean and biased variance of each channel over all processes, in one exchange.

    Means and variances are combined as Chan et al. (1979) do: E[x^2] - E[x]^2 would cancel.
    """
    here = torch.cat([x.mean(1), x.var(1, correction=0), x.new_tensor([x.shape[1]])])
    parts = gather(here[None])  # processes 2c+1
    means, variances = parts[:, :-1].chunk(2, dim=1)
    counts = parts[:, -1:]
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    variance = (counts * (variances + (means - mean).square())).sum(0) / count
    return count, mean, variance


class _Normalise(torch.autograd.Function):
    """(x - mean) / std with the gradient that flows through both, summed over the processes.

    Written by hand so that only the input is kept for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, inverse_std: Tensor, count: Tensor) -> Tensor:
        ctx.save_for_backward(x, mean, inverse_std, count)
        return (x - mean) * inverse_std

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        x, mean, inverse_std, count = ctx.saved_tensors
        normal = (x - mean) * inverse_std
        channels = [d for d in range(x.ndim) if d != 1]
        sums = total(torch.stack([gradient.sum(channels), (gradient * normal).sum(channels)])) / count  # 2 c
        of_mean, of_std = sums.view(2, *mean.shape)
        return (inverse_std * (gradient - of_mean - normal * of_std)).to(x.dtype), None, None, None


def sync_batch_norms(module: nn.Module) -> nn.Module:
    """Turn every nn.BatchNorm1d, 2d and 3d of a network into a SyncedBatchNorm, in place.

    Weights and buffers stay the same objects under the same names, so checkpoints and optimisers do not notice.
    """
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            part.__class__ = SyncedBatchNorm  # type: ignore[assignment]
    return module
