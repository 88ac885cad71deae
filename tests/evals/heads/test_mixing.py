import math

import numpy as np
import pytest
import torch

from reelvec.evals.heads.mixing import mix, smoothed, soft_cross_entropy


def test_mixup_and_cutmix_mix_what_their_targets_say() -> None:
    clips = torch.arange(1.0, 5).view(4, 1, 1, 1, 1).expand(4, 1, 2, 6, 8).contiguous()
    targets = smoothed(torch.arange(4), 4, 0.0)
    kinds = set()
    for seed in range(20):
        mixed, shares = mix(clips, targets, 0.8, 1.0, np.random.default_rng(seed))
        # the mean pixel of each clip tells how much of which is in it
        torch.testing.assert_close(mixed.mean((1, 2, 3, 4)), shares @ torch.arange(1.0, 5))
        torch.testing.assert_close(shares.sum(1), torch.ones(4))
        kinds.add("mixup" if mixed[0].std() < 1e-6 and shares[0, 0] < 1 else "cutmix")
        assert torch.equal(mixed[:, :, 0], mixed[:, :, 1])
    assert kinds == {"mixup", "cutmix"}
    unmixed, same = mix(clips, targets, 0.0, 0.0, np.random.default_rng(0))
    assert unmixed is clips
    assert same is targets


def test_smoothed_targets_and_their_loss() -> None:
    targets = smoothed(torch.tensor([2, 0]), 4, 0.1)
    assert targets[0].tolist() == pytest.approx([0.025, 0.025, 0.925, 0.025])
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    slow = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        total = sum(math.exp(value) for value in row)
        slow -= sum(t * math.log(math.exp(value) / total) for value, t in zip(row, target, strict=True)) / 2
    assert soft_cross_entropy(logits, targets).item() == pytest.approx(slow, rel=1e-5)
