import math

import pytest
import torch

from reelvec.evals.dense.joint_tracking import follow_joints, joint_maps, joint_places, pck
from reelvec.evals.dense.label_propagation import PRESETS

NAN = math.nan


def test_heat_stands_where_joints_are_and_background_elsewhere() -> None:
    maps = joint_maps(torch.tensor([[20.0, 40.0], [67.0, 8.0]]), (80, 80), (8, 8))
    assert maps.shape == (3, 8, 8)
    assert maps[1].argmax() == 4 * 8 + 2
    assert maps[2].argmax() == 1 * 8 + 7
    assert maps[1, 4, 2] == 1
    assert maps[1, 4, 3] == pytest.approx(math.exp(-2))
    assert maps[1, 4, 4] == 0
    assert torch.equal(maps[0] == 1, maps[1:].sum(0) == 0)


def test_places_are_found_again() -> None:
    places = torch.tensor([[20.0, 40.0], [60.0, 30.0]])
    found = joint_places(joint_maps(places, (80, 80), (8, 8)), (80, 80))
    assert torch.allclose(found, places, atol=1e-3)
    lost = joint_places(torch.zeros(2, 8, 8), (80, 80))
    assert lost.isnan().all()


def test_joints_of_a_still_body_stay() -> None:
    maps = [torch.eye(64).view(64, 8, 8)] * 6
    places = torch.tensor([[20.0, 40.0], [60.0, 30.0]])
    for found in follow_joints(maps, places, (80, 80), PRESETS["crw"]):
        assert torch.allclose(found, places, atol=0.5)


def test_pck_by_hand() -> None:
    # a body of 30 x 40 pixels: its size is 0.6 x 50 = 30
    truth = torch.tensor([[[0.0, 0.0], [30.0, 40.0]]]).repeat(3, 1, 1)
    found = truth.clone()
    found[0] += 1000  # the first frame is given: it does not count
    found[1, 0, 0] += 3  # 0.1 of the size
    found[2, 0, 0] += 12  # 0.4
    found[2, 1, 1] += 15.1  # just over 0.5
    result = pck([found], [truth])
    assert list(result) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert list(result.values()) == pytest.approx([0.5, 0.5, 0.5, 0.75, 0.75])


def test_pck_counts_what_is_not_lost_joint_by_joint() -> None:
    truth = torch.tensor([[[0.0, 0.0], [30.0, 40.0], [15.0, 20.0]]]).repeat(3, 1, 1)
    found = truth.clone()
    found[1, 2] = NAN
    found[2, 2, 0] += 29
    found[:, 1] = NAN  # lost throughout: the box is then the other two's, 15 x 20, and size 15
    result = pck([found, found], [truth, truth], (0.5, 2.0))
    # joint 0: right in both frames; joint 1: never asked; joint 2: once asked, off by 29. In frame 1 a single joint is
    # left, and a body without size asks nothing
    assert result == pytest.approx({0.5: 0.5, 2.0: 1.0})
