import math

import numpy as np
import pytest
import torch

from reelvec.evals.dense.joint_tracking import THRESHOLDS, joint_maps, joint_places, pck, pck_counts, share_lost
from reelvec.evals.dense.label_propagation import PRESETS, carry

NAN = math.nan


def slow_heat(x: float, y: float, rows: int, columns: int) -> np.ndarray:
    """Draw a joint's Gaussian as CRW does: a patch of 6 sigma + 1 cells, the third row and column of which are warmest."""
    sigma, heat = 0.5, np.zeros((rows, columns))
    left, upper = int(x - 3 * sigma), int(y - 3 * sigma)
    for down in range(4):
        for across in range(4):
            row, column = upper + down, left + across
            if 0 <= row < rows and 0 <= column < columns:
                heat[row, column] = math.exp(-((across - 2) ** 2 + (down - 2) ** 2) / (2 * sigma**2))
    return heat


def slow_pck(found: list[np.ndarray], truth: list[np.ndarray], limit: float) -> float:
    """JHMDB's PCK as its formula says, joint by joint."""
    by_joint: list[list[bool]] = [[] for _ in range(truth[0].shape[1])]
    for ours, theirs in zip(found, truth, strict=True):
        for frame in range(1, len(theirs)):
            seen = [j for j in range(theirs.shape[1]) if not np.isnan(ours[frame, j]).any()]
            if seen:
                box = theirs[frame, seen].max(0) - theirs[frame, seen].min(0)
                body = 0.6 * math.hypot(*box)
                for j in seen:
                    distance = math.hypot(*(ours[frame, j] - theirs[frame, j]))
                    by_joint[j].append(body > 0 and distance / body <= limit)
    return float(np.mean([np.mean(each) for each in by_joint if each]))


def test_heat_stands_where_joints_are_and_background_elsewhere() -> None:
    maps = joint_maps(torch.tensor([[20.0, 40.0], [67.0, 8.0]]), (80, 80), (8, 8))
    assert maps.shape == (3, 8, 8)
    assert maps[1].argmax() == 4 * 8 + 2
    assert maps[2].argmax() == 1 * 8 + 7
    assert maps[1, 4, 2] == 1
    assert maps[1, 4, 3] == pytest.approx(math.exp(-2))
    assert maps[1, 4, 4] == 0
    assert torch.equal(maps[0] == 1, maps[1:].sum(0) == 0)


def test_heat_is_that_of_crw() -> None:
    """Away from the left and upper side, where theirs is a cell too far inside."""
    generator = np.random.default_rng(0)
    places = generator.uniform([19, 15], [89, 79], (40, 2))  # cells of 10 x 8 pixels, the last ones beyond the frame
    maps = joint_maps(torch.from_numpy(places).float(), (64, 80), (8, 8))
    for place, heat in zip(places, maps[1:].numpy(), strict=True):
        assert heat == pytest.approx(slow_heat(place[0] / 10, place[1] / 8, 8, 8), abs=1e-6)


def test_places_are_found_again() -> None:
    places = torch.tensor([[20.0, 40.0], [60.0, 30.0]])
    found = joint_places(joint_maps(places, (80, 80), (8, 8)), (80, 80))
    assert torch.allclose(found, places, atol=1e-3)
    lost = joint_places(torch.zeros(2, 8, 8), (80, 80))
    assert lost.isnan().all()


def test_joints_of_a_still_body_stay() -> None:
    maps = [torch.eye(64).view(64, 8, 8)] * 6
    places = torch.tensor([[20.0, 40.0], [60.0, 30.0]])
    for labels in carry(maps, joint_maps(places, (80, 80), (8, 8)), PRESETS["crw"]):
        assert torch.allclose(joint_places(labels, (80, 80)), places, atol=0.5)


def test_pck_by_hand() -> None:
    # a body of 30 x 40 pixels: its size is 0.6 x 50 = 30
    truth = torch.tensor([[[0.0, 0.0], [30.0, 40.0]]]).repeat(3, 1, 1)
    found = truth.clone()
    found[0] += 1000  # the first frame is given: it does not count
    found[1, 0, 0] += 3  # 0.1 of the size
    found[2, 0, 0] += 12  # 0.4
    found[2, 1, 1] += 15.1  # just over 0.5
    assert THRESHOLDS == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert pck(pck_counts(found, truth)) == pytest.approx([0.5, 0.5, 0.5, 0.75, 0.75])


def test_pck_counts_what_is_not_lost_joint_by_joint() -> None:
    truth = torch.tensor([[[0.0, 0.0], [30.0, 40.0], [15.0, 20.0]]]).repeat(3, 1, 1)
    found = truth.clone()
    found[1, 2] = NAN
    found[2, 2, 0] += 29
    found[:, 1] = NAN  # lost throughout: the box is then the other two's, 15 x 20, and size 15
    counts = pck_counts(found, truth, (0.5, 2.0))
    # joint 0: right in one frame; in the other it is alone, and of a body without size nothing is near enough. Joint 1: never
    # asked. Joint 2: once asked, off by 29
    assert pck(2 * counts) == pytest.approx([0.25, 0.75])
    assert share_lost(counts) == pytest.approx(3 / 6)
    nothing = pck_counts(torch.full_like(truth, NAN), truth)
    assert pck(nothing) == [0] * 5
    assert share_lost(nothing) == 1


def test_pck_is_the_formulas() -> None:
    generator = np.random.default_rng(1)
    truth = [generator.uniform(0, 100, (frames, 15, 2)) for frames in (5, 9, 2)]
    found = [one + generator.normal(0, 12, one.shape) for one in truth]
    for one in found:
        one[generator.random(one.shape[:2]) < 0.2] = NAN
    counts = sum(pck_counts(torch.from_numpy(a), torch.from_numpy(b)) for a, b in zip(found, truth, strict=True))
    assert pck(counts) == pytest.approx([slow_pck(found, truth, limit) for limit in THRESHOLDS])
