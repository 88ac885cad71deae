"""What holds a run up is named, once, and with what to do about it."""

import torch

from reelvec.core.spans import span
from reelvec.engine.time_spent import STEPS, TimeSpent, exact_views, verdict


def walk(steps: int, total: int) -> list[dict[str, float]]:
    spent, said = TimeSpent(torch.device("cpu")), []
    for step in range(steps):
        with span("clips"), span("networks"):
            pass
        shares = spent.step(last=step + 1 == total)
        said += [shares] if shares is not None else []
    spent.close()
    return said


def test_it_is_said_once_after_enough_steps():
    (shares,) = walk(2 * STEPS, 2 * STEPS)
    assert sum(shares.values()) == 1 or abs(sum(shares.values()) - 1) < 1e-9
    assert set(shares) == {"clips", "views", "networks", "optimiser", "rest"}
    assert shares["views"] == 0
    assert shares["networks"] > 0


def test_a_short_run_says_it_at_its_end_and_a_tiny_one_not_at_all():
    assert len(walk(10, 10)) == 1
    assert walk(3, 3) == []
    assert walk(10, 100) == []  # stopped early


def test_the_largest_part_is_named_and_waiting_is_never_hidden():
    shares = {"clips": 0.02, "views": 0.1, "networks": 0.8, "optimiser": 0.05, "rest": 0.03}
    assert "Most of it is networks" in verdict(shares, on_gpu=False, workers=1)
    assert "bf16" in verdict(shares, on_gpu=True, workers=1)
    assert "waiting can be had back" not in verdict(shares, on_gpu=False, workers=1)
    assert "waiting can be had back: decode beside" in verdict({**shares, "clips": 0.2}, on_gpu=True, workers=0)
    assert "Most of it is making views" in verdict({**shares, "views": 0.9}, on_gpu=False, workers=1)
    waits = verdict({**shares, "clips": 0.9}, on_gpu=True, workers=7)
    assert "Most of it is waiting for clips" in waits
    assert "reelvec prepare" in waits


def test_what_a_run_does_not_use_yet_is_offered_where_it_applies():
    views = {"clips": 0.1, "views": 0.8, "networks": 0.1, "optimiser": 0.0, "rest": 0.0}
    clips = {**views, "clips": 0.9, "views": 0.05}
    assert "to go faster: motion_view.arithmetic=fast" in verdict(views, False, 1, exact_views="motion_view")
    assert "arithmetic" not in verdict(views, True, 1, exact_views="motion_view")  # on a GPU both are fast
    assert "arithmetic" not in verdict(views, False, 1)
    for workers in (0, 3):
        assert "pictures=yuv" in verdict(clips, True, workers, in_rgb=True)
        assert "pictures=yuv" not in verdict(clips, True, workers)
    assert exact_views({"frames": 4, "view": {"arithmetic": "fast"}, "motion_view": {"arithmetic": "exact"}}) == "motion_view"
    assert exact_views({"view": {"arithmetic": "fast"}, "bends": {"stretch": 2}}) is None
