import torch
from torch import nn

from reelvec.parts.place_decoder import PlaceDecoder


def decoder(**changes):
    arguments = {"inputs": 6, "read": 2 * 3 * 3, "written": 5, "dim": 8, "heads": 2, "hidden": 16, "layers": (2, 4)} | changes
    torch.manual_seed(0)
    return PlaceDecoder(**arguments)


def test_it_has_the_layers_asked_for_and_no_dropout():
    transformer = decoder().transformer
    assert (len(transformer.encoder.layers), len(transformer.decoder.layers)) == (2, 4)
    assert not any(m.p for m in transformer.modules() if isinstance(m, nn.Dropout))
    assert not any(m.dropout for m in transformer.modules() if isinstance(m, nn.MultiheadAttention))
    assert not any(layer.norm_first for layer in [*transformer.encoder.layers, *transformer.decoder.layers])


def test_the_map_of_one_video_says_nothing_of_another():
    maps = torch.randn(3, 6, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    whole = decoder()
    assert whole(maps).shape == (3, 5, 8)
    torch.testing.assert_close(whole(maps)[1:2], whole(maps[1:2]))


def test_places_are_read_by_position_and_written_by_position():
    maps = torch.randn(1, 6, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    whole = decoder()
    assert not torch.allclose(whole(maps), whole(maps.flip(2)), atol=1e-3)  # another order of the same tokens
    written = whole(maps)[0]
    assert torch.pdist(written).min() > 1e-3
    with torch.no_grad():
        whole.read_positions.zero_()
    torch.testing.assert_close(whole(maps), whole(maps.flip(2)))


def test_positions_start_between_zero_and_one():
    for table, shape in ((decoder().read_positions, (18, 8)), (decoder().written_positions, (5, 8))):
        assert table.shape == shape
        assert table.requires_grad
        assert table.min() >= 0
        assert 0.8 < table.max() <= 1
