from itertools import combinations

import pytest
import torch

from reelvec.evals.baselines import chance_recall, colour_histogram, majority_accuracy, pixel_vector


def test_pixel_vector_of_a_plain_clip_is_its_colour() -> None:
    frames = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1, 1).expand(1, 3, 8, 20, 20)
    got = pixel_vector(frames)[0]
    assert got.shape == (4 * 16 * 16 + 3 * 8 * 8,)
    grey = 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6
    torch.testing.assert_close(got[:1024], torch.full((1024,), grey))
    torch.testing.assert_close(got[1024:].view(3, 64).mean(1), torch.tensor([0.2, 0.4, 0.6]))


def test_pixel_vector_sees_time_and_place() -> None:
    frames = torch.rand(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(pixel_vector(frames), pixel_vector(frames.flip(2)))
    assert not torch.allclose(pixel_vector(frames), pixel_vector(frames.flip(4)))


def test_histogram_counts_pixels_by_hand() -> None:
    frames = torch.zeros(1, 3, 1, 1, 4)
    frames[0, :, 0, 0, 0] = torch.tensor([1.0, 0.0, 0.5])  # bin (7, 0, 4)
    got = colour_histogram(frames)[0] ** 2
    assert got[7 * 64 + 4] == pytest.approx(0.25)
    assert got[0] == pytest.approx(0.75)
    assert got.sum() == pytest.approx(1)


def test_histogram_knows_neither_place_nor_order() -> None:
    frames = torch.rand(2, 3, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    shuffled = frames.flatten(2)[:, :, torch.randperm(144, generator=torch.Generator().manual_seed(1))].view_as(frames)
    torch.testing.assert_close(colour_histogram(frames), colour_histogram(shuffled))


def test_majority_is_the_training_parts() -> None:
    assert majority_accuracy(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1, 2])) == 0.25


def test_chance_recall_equals_the_count_over_all_galleries() -> None:
    train, test = [0, 0, 1, 2, 2, 2], [0, 1, 2, 3]
    for k in (1, 2, 5, 50):
        draws = list(combinations(train, min(k, 6)))
        hits = sum(query in draw for query in test for draw in draws) / len(draws) / len(test)
        assert chance_recall(train, test, [k])[f"R@{k}"] == pytest.approx(hits)
