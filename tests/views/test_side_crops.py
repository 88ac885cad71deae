import pytest
import torch

from reelvec.core.batch import Clips
from reelvec.views import centre_view
from reelvec.views.side_crops import side_boxes, side_views


def test_three_crops_are_the_ends_and_the_centre() -> None:
    sizes = torch.tensor([[24, 33], [40, 24], [24, 24]])
    pixels = side_boxes(sizes, 3) * sizes[:, None, [1, 0, 1, 0]]
    assert pixels[0].round().tolist() == [[0, 0, 24, 24], [4, 0, 28, 24], [9, 0, 33, 24]]
    assert pixels[1].round().tolist() == [[0, 0, 24, 24], [0, 8, 24, 32], [0, 16, 24, 40]]
    assert pixels[2].round().tolist() == [[0, 0, 24, 24]] * 3


@pytest.mark.parametrize("size", [(24, 33), (31, 20), (24, 24)])
def test_one_crop_is_the_centre_view(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    clips = Clips(
        torch.randint(0, 256, (2, 1, 3, 4, 40, 40), generator=generator, dtype=torch.uint8), torch.tensor([size, size])
    )
    torch.testing.assert_close(side_views(clips, 16, 1)[:, 0], centre_view(clips, 16))
    if size[0] != size[1]:
        torch.testing.assert_close(side_views(clips, 16, 3)[:, 1], centre_view(clips, 16))
    else:
        assert side_views(clips, 16, 3).shape[1] == 1


def test_vectors_become_pixels_of_the_crop() -> None:
    clips = Clips(torch.ones(1, 1, 2, 2, 3, 4), torch.tensor([[3, 4]]))  # motion vectors of a picture of 24x32
    cut = side_views(clips, 12, 3, vectors=True, cell=8)
    assert cut.shape == (1, 3, 2, 2, 12, 12)
    torch.testing.assert_close(cut, torch.full_like(cut, 12 / 24))
