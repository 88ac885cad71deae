import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reelvec.core import Clips, Draws, Stream, StreamNeed
from reelvec.evals.heads.augment import PAPERS
from reelvec.evals.heads.looks import RandomCrop, drawn_requests, drawn_views, even_requests, read
from tests.evals.heads.clip_cases import CARD, Case, coloured


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Case:
    return coloured(tmp_path_factory.mktemp("coloured"), make_video, 18)


def test_a_drawn_view_hangs_on_its_sample_alone(case: Case) -> None:
    source = case.source()
    requests = drawn_requests(source, case.rows, 2, 1, 0)
    assert requests == drawn_requests(source, case.rows, 2, 1, 0)
    starts = [request.start_seconds for request in requests.requests]
    assert len(set(starts)) > 10
    for earlier, later in starts:  # the same place of each half
        assert later - earlier == pytest.approx((10 / 24 - 4 / 24) / 2, abs=1e-6)
    ((numbers, batch), *_) = read(source, requests)
    whole = drawn_views(batch, CARD, RandomCrop(), Draws(0, numbers))
    assert whole.shape == (8, 2, 3, 4, 16, 16)
    part = drawn_views(batch.part(slice(3, 5)), CARD, RandomCrop(), Draws(0, numbers[3:5]))
    torch.testing.assert_close(part, whole[3:5])


def test_even_clips_go_from_end_to_end(case: Case) -> None:
    requests = even_requests(case.source(), case.rows, 3).requests
    assert requests[0].start_seconds == pytest.approx((0, 3 / 24, 6 / 24))
    # 10 frames hold clips of 4 frames two and a half times
    assert len(even_requests(case.source(), case.rows, None).requests[0].start_seconds) == 3


def test_motion_in_a_drawn_view_is_in_its_own_pixels(case: Case) -> None:
    """A flow of one pixel to the right over the whole picture; a crop of half its width, made as large, doubles it."""
    needs = CARD.needs.model_copy(update={"streams": (StreamNeed(stream=Stream.FLOW, frames=4, stride=1),)})
    card = CARD.model_copy(update={"needs": needs, "channels": 2, "mean": (0.0, 0.0), "std": (1.0, 1.0), "size": 24})
    ((numbers, batch), *_) = read(case.source(), even_requests(case.source(), case.rows, 1))
    flow = torch.zeros(len(batch), 1, 2, 4, 24, 32)
    flow[:, :, 0] = 1.0
    moved = batch.__class__({Stream.FLOW: Clips(flow, batch.streams[Stream.RGB].size)}, batch.numbers, batch.rows,
                            batch.start_seconds, batch.span_seconds)  # fmt: skip
    plain = drawn_views(moved, card, RandomCrop(area=(0.25, 0.25), aspect=(1.0, 1.0)), Draws(0, numbers))
    side = round(math.sqrt(0.25 * 24 * 32))
    torch.testing.assert_close(plain[:, :, 0], torch.full_like(plain[:, :, 0], 24 / side))
    assert plain[:, :, 1].abs().max() == 0
    mirrored = drawn_views(moved, card, RandomCrop(area=(0.25, 0.25), aspect=(1.0, 1.0), flip=1.0), Draws(0, numbers))
    torch.testing.assert_close(mirrored[:, :, 0], -plain[:, :, 0])


def test_augmented_views_hang_on_their_sample_alone_and_flow_is_not_recoloured(case: Case) -> None:
    source = case.source()
    ((numbers, batch), *_) = read(source, drawn_requests(source, case.rows, 2, 1, 0))
    whole = drawn_views(batch, CARD, RandomCrop(), Draws(0, numbers), PAPERS)
    part = drawn_views(batch.part(slice(3, 5)), CARD, RandomCrop(), Draws(0, numbers[3:5]), PAPERS)
    torch.testing.assert_close(part, whole[3:5])
    changed = (whole != drawn_views(batch, CARD, RandomCrop(), Draws(0, numbers))).flatten(2).any(2)
    assert changed.float().mean() > 0.5
    needs = CARD.needs.model_copy(update={"streams": (StreamNeed(stream=Stream.FLOW, frames=4, stride=1),)})
    card = CARD.model_copy(update={"needs": needs, "channels": 2, "mean": (0.0, 0.0), "std": (1.0, 1.0)})
    flow = Clips(torch.ones(len(batch), 1, 2, 4, 24, 32), batch.streams[Stream.RGB].size)
    moved = batch.__class__({Stream.FLOW: flow}, batch.numbers, batch.rows, batch.start_seconds, batch.span_seconds)
    quiet = PAPERS.model_copy(update={"erasing": 0.0})
    draws = Draws(0, numbers)
    assert torch.equal(drawn_views(moved, card, RandomCrop(), draws, quiet), drawn_views(moved, card, RandomCrop(), draws))
