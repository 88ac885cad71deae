import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reelvec.core import ReelvecError
from reelvec.evals.dense import label_propagation
from reelvec.evals.dense.label_propagation import PRESETS, Preset, carry, chosen_presets, to_map, to_mask


def slow_carry(maps: list[Tensor], first: Tensor, preset: Preset) -> list[Tensor]:
    """The definition, place by place in float64."""
    maps = [F.normalize(one.double(), dim=0) for one in maps]
    labels, (height, width) = [first.double()], first.shape[1:]
    for now in range(1, len(maps)):
        if preset.filled:
            recent = [max(0, now - back) for back in range(preset.previous, 0, -1)]
        else:
            recent = [t for t in range(now - preset.previous, now) if t > 0]
        found = torch.zeros(first.shape, dtype=torch.float64)
        for y in range(height):
            for x in range(width):
                likeness = []
                for number, t in enumerate([0, *recent]):
                    for v in range(height):
                        for u in range(width):
                            if preset.window == "circle":
                                near = math.dist((y, x), (v, u)) < preset.radius
                            else:
                                near = max(abs(y - v), abs(x - u)) <= preset.radius
                            if near or (number == 0 and preset.first_everywhere):
                                cosine = float(maps[now][:, y, x] @ maps[t][:, v, u])
                                likeness.append((cosine, labels[t][:, v, u]))
                likeness.sort(key=lambda pair: -pair[0])
                best = likeness[: preset.top]
                weights = [math.exp(cosine / preset.temperature) for cosine, _ in best]
                mean = sum(w * label for w, (_, label) in zip(weights, best, strict=True))
                found[:, y, x] = mean / sum(weights)
        labels.append(found)
    return labels


def random_maps(frames: int, channels: int, height: int, width: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(channels, height, width, generator=generator) for _ in range(frames)]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("at_once", [1, 1 << 25])
def test_it_is_the_definition(name: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_propagation, "_SCORES_AT_ONCE", at_once)  # a row at a time, and all at once
    preset = PRESETS[name].model_copy(update={"radius": 2, "previous": 3, "top": 4})
    maps = random_maps(6, 5, 5, 4)
    first = F.one_hot(torch.arange(20).view(5, 4) % 3, 3).permute(2, 0, 1).float()
    found = list(carry(iter(maps), first, preset))
    for ours, slow in zip(found, slow_carry(maps, first, preset), strict=True):
        assert torch.allclose(ours.double(), slow, atol=1e-5)


def places(height: int, width: int) -> Tensor:
    """Features that say where a cell is and nothing else."""
    return torch.eye(height * width).view(height * width, height, width)


@pytest.mark.parametrize("name", PRESETS)
def test_a_still_video_keeps_the_first_mask_as_its_round_trip(name: str) -> None:
    preset = PRESETS[name]
    mask = torch.zeros(48, 64, dtype=torch.long)
    mask[9:30, 12:41], mask[25:44, 45:60] = 1, 2
    objects, input_size, map_size = [1, 2], (48, 64), (6, 8)
    first = to_map(mask, objects, input_size, map_size, preset)
    round_trip = to_mask(first, objects, input_size, (48, 64), preset)
    for labels in carry([places(*map_size)] * 30, first, preset):
        assert torch.equal(to_mask(labels, objects, input_size, (48, 64), preset), round_trip)
    assert 0.75 < (round_trip == mask).float().mean() < 1  # a ceiling below 1


def test_a_square_that_moves_is_followed() -> None:
    """Cells carry what they show: labels go with it."""
    generator = torch.Generator().manual_seed(0)
    back, thing = torch.randn(16, 10, 10, generator=generator), torch.randn(16, 2, 2, generator=generator)
    maps = []
    for frame in range(8):
        one = back.clone()
        one[:, 4:6, frame : frame + 2] = thing
        maps.append(one)
    first = torch.zeros(2, 10, 10)
    first[1, 4:6, 0:2] = 1
    first[0] = 1 - first[1]
    *_, last = carry(maps, first, PRESETS["crw"])
    expected = torch.zeros(10, 10)
    expected[4:6, 7:9] = 1
    assert torch.equal((last[1] > last[0]).float(), expected)


def test_labels_are_soft_and_sum_to_one() -> None:
    first = F.one_hot(torch.arange(30).view(5, 6) % 2, 2).permute(2, 0, 1).float()
    *_, last = carry(random_maps(4, 3, 5, 6), first, PRESETS["rvm"])
    assert torch.allclose(last.sum(0), torch.ones(5, 6), atol=1e-5)
    assert ((last > 0.01) & (last < 0.99)).float().mean() > 0.2


@pytest.mark.parametrize(
    ("name", "frame", "size", "shown"),
    [
        ("crw", (480, 854), None, (480, 854)),
        ("dul", (480, 854), 240, (240, 427)),
        ("dino", (480, 854), None, (480, 832)),
        ("dino", (1080, 1920), None, (480, 832)),
        ("dino", (854, 480), None, (832, 480)),
        ("dino", (100, 120), 40, (40, 40)),
        ("rvm", (480, 854), None, (480, 880)),
        ("rvm", (480, 854), 240, (240, 440)),
        ("rvm", (480, 854), (320, 320), (320, 320)),
    ],
)
def test_size_of_the_frames(name: str, frame: tuple[int, int], size: int | tuple[int, int] | None, shown: tuple) -> None:
    assert PRESETS[name].input_size(*frame, size) == shown


def test_a_setting_is_told_completely() -> None:
    """Two presets never read alike, and a size that is given is told in place of the preset's."""
    words = {name: preset.in_words() for name, preset in PRESETS.items()}
    assert len(set(words.values())) == 4
    for part in (
        "20 previous",
        "less than 12 cells",
        "from anywhere in the first",
        "10 most like",
        "cosine / 0.05",
        "bilinear",
    ):
        assert part in words["crw"]
    for part in ("7 previous", "up to 12 rows and columns", "5 most like", "cosine / 0.1", "nearest", "stretched", "480"):
        assert part in words["dino"]
    for part in ("480 x 880", "20 previous", "less than 20 cells", "7 most like", "cosine / 0.7"):
        assert part in words["rvm"]
    assert "corners aligned" in words["dul"]
    assert "short side 120" in PRESETS["dino"].in_words(120)
    assert "480" not in PRESETS["dino"].in_words(120)


def test_masks_become_maps_as_each_paper_has_it() -> None:
    mask = torch.zeros(8, 8, dtype=torch.long)
    mask[:, 3:] = 4
    by = {name: to_map(mask, [4], (8, 8), (4, 4), preset)[1, 0].tolist() for name, preset in PRESETS.items()}
    assert by["crw"] == [0, 0.5, 1, 1]  # between pixels 2k and 2k + 1
    assert by["dino"] == [0, 1, 1, 1]  # pixel 2k + 1
    assert by["dul"] == pytest.approx([0, 1 / 3, 1, 1], abs=1e-6)  # at 7 k / 3: 0, 2.33, 4.67, 7
    assert by["rvm"] == [0, 0.5, 1, 1]
    assert to_mask(torch.tensor([[[0.4]], [[0.6]]]), [4], (8, 8), (8, 8), PRESETS["crw"]).unique().tolist() == [4]


def test_a_stretched_object_wins_where_it_is_strongest() -> None:
    labels = torch.tensor([[[0.9, 0.7]], [[0.1, 0.3]]])  # plainly the background everywhere
    assert to_mask(labels, [1], (1, 2), (1, 2), PRESETS["crw"]).tolist() == [[0, 0]]
    assert to_mask(labels, [1], (1, 2), (1, 2), PRESETS["dino"]).tolist() == [[0, 1]]


def test_unknown_presets() -> None:
    with pytest.raises(ReelvecError, match="presets crw, dul, dino, rvm"):
        chosen_presets(["crw", "uvc"])
    with pytest.raises(ReelvecError, match="presets"):
        chosen_presets([])
