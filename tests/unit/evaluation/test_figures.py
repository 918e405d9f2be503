import numpy as np
import pytest
import torch

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.evaluation.figures import feature_sheet
from hfdiff.nn.extractor import Extractor, ExtractorConfig
from hfdiff.nn.invertible import InvertibleConfig
from support import fill_by_recipe, picture

GAP, LABEL = 4, 14


@pytest.fixture
def extractor():
    config = ExtractorConfig(invertible=InvertibleConfig(width=8, modules=2))
    return fill_by_recipe(Extractor(config))


@pytest.fixture
def picture_01():
    return (picture("x", (1, 3, 40, 60)) + 1) / 2


def tile(sheet, number, columns, size=(40, 60)):
    top = number // columns * (size[0] + LABEL + GAP) + GAP
    left = number % columns * (size[1] + GAP) + GAP
    return sheet[top : top + size[0], left : left + size[1]]


def test_the_picture_comes_first_as_it_is(extractor, picture_01):
    sheet = feature_sheet(extractor, picture_01, columns=4)

    expected = (picture_01[0] * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(tile(sheet, 0, 4), expected)


def test_every_map_is_shown_pixel_for_pixel_between_its_quantiles(extractor, picture_01):
    sheet = feature_sheet(extractor, picture_01, channels=0, columns=4)

    maps = extractor(picture_01 * 2 - 1)[0]
    low, high = torch.quantile(maps[2], torch.tensor([0.01, 0.99]))
    expected = (((maps[2] - low) / (high - low)).clamp(0, 1) * 255).round()
    shown = tile(sheet, 3, 4)  # after the picture and channels 0 and 1
    assert np.abs(shown - expected[..., None].numpy()).max() <= 1
    assert sheet.shape == (3 * (40 + LABEL + GAP) + GAP, 4 * (60 + GAP) + GAP, 3)


def test_the_maps_of_widest_range_are_chosen_in_the_order_of_their_channels(extractor, picture_01):
    for layer in (extractor.stem.residual, extractor.invertible):  # then only conv_in is left
        for parameter in layer.parameters():
            parameter.zero_()
    extractor.stem.conv_in.weight[[1, 6]] *= 50

    sheet = feature_sheet(extractor, picture_01, channels=2, columns=3)

    whole = feature_sheet(extractor, picture_01, channels=0, columns=9)
    assert np.array_equal(tile(sheet, 1, 3), tile(whole, 1 + 1, 9))
    assert np.array_equal(tile(sheet, 2, 3), tile(whole, 1 + 6, 9))


def test_a_label_stands_below_every_tile(extractor, picture_01):
    sheet = feature_sheet(extractor, picture_01, channels=3, columns=4)

    below = sheet[GAP + 40 : GAP + 40 + LABEL]
    for number in range(4):
        left = number * (60 + GAP) + GAP
        assert (below[:, left : left + 60] < 128).any()
        assert (below[:, left - GAP : left] == 255).all()


def test_a_constant_map_is_grey(picture_01):
    extractor = Extractor(ExtractorConfig(invertible=InvertibleConfig(width=2, modules=1)))
    for parameter in extractor.parameters():
        torch.nn.init.zeros_(parameter)

    sheet = feature_sheet(extractor, picture_01, columns=3)

    assert set(np.unique(tile(sheet, 1, 3))) <= {127, 128}


def test_a_picture_of_one_row_is_refused(extractor):
    with pytest.raises(ImageError, match="at least 2x2 pixels"):
        feature_sheet(extractor, torch.zeros(1, 3, 1, 5))


@pytest.mark.parametrize(("channels", "columns"), [(-1, 8), (3, 0)])
def test_impossible_sheets_are_refused(extractor, picture_01, channels, columns):
    with pytest.raises(SettingsError, match="columns must be at least 1 and channels at least 0"):
        feature_sheet(extractor, picture_01, channels=channels, columns=columns)
