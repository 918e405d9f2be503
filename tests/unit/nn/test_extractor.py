import pytest
import torch

from hfdiff.core.errors import SettingsError
from hfdiff.core.settings import plain, validate
from hfdiff.nn.extractor import (
    ClassifierHead,
    ClassifierHeadConfig,
    Extractor,
    ExtractorConfig,
    measure_channel_std,
)
from hfdiff.nn.invertible import InvertibleConfig
from support import fill_by_recipe, picture, recipe_tensor

SMALL = ExtractorConfig(invertible=InvertibleConfig(width=8, modules=2))


def test_the_features_have_the_pictures_size_and_n_channels():
    features = Extractor(SMALL)(picture("a", (2, 3, 7, 5)))

    assert features.shape == (2, 8, 7, 5)
    assert features.dtype == torch.float32


def test_a_fresh_extractor_is_its_stem():
    extractor = Extractor(SMALL)
    x = picture("a", (1, 3, 8, 8))

    assert torch.equal(extractor(x), extractor.stem(x))


def test_the_features_can_be_undone_down_to_the_stem():
    extractor = fill_by_recipe(Extractor(SMALL))
    x = picture("a", (1, 3, 8, 8))

    stem = extractor.invertible.inverse(extractor(x))

    torch.testing.assert_close(stem, extractor.stem(x), atol=1e-4, rtol=0)


def test_the_paper_s_size_has_the_counted_parameters():
    """Stem 3 -> 128: 3,584 and two times 147,584; modules 664,704 (facts i.2)."""
    extractor = Extractor(ExtractorConfig())

    assert sum(p.numel() for p in extractor.parameters()) == 3_584 + 2 * 147_584 + 664_704


def test_features_are_float32_under_autocast():
    extractor = fill_by_recipe(Extractor(SMALL))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = extractor(picture("a", (1, 3, 8, 8)))

    assert features.dtype == torch.float32


def test_a_configuration_survives_its_plain_form():
    config = ExtractorConfig(
        invertible=InvertibleConfig(width=64, split=20, mix="reverse", log_scale_bound=float("inf"))
    )

    assert validate(plain(config), ExtractorConfig, "a test") == config


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_the_head_turns_features_of_any_size_into_float32_logits(norm):
    head = ClassifierHead(ClassifierHeadConfig(widths=(8, 16), norm=norm), 8, 5)

    logits = head(picture("features", (2, 8, 20, 12)))

    assert logits.shape == (2, 5)
    assert logits.dtype == torch.float32


def test_logits_of_a_picture_do_not_depend_on_the_rest_of_the_batch():
    head = fill_by_recipe(ClassifierHead(ClassifierHeadConfig(widths=(8, 16)), 8, 5))
    features = picture("features", (3, 8, 20, 20))

    singles = torch.cat([head(features[i : i + 1]) for i in range(3)])

    torch.testing.assert_close(head(features), singles, atol=1e-5, rtol=1e-4)


def test_a_few_steps_teach_extractor_and_head_a_simple_class():
    """Classes differ by the direction of stripes: cross-entropy on logits, Adam, no tricks."""
    stripes = torch.linspace(-6, 6, 12).sin().expand(4, 3, 12, 12)
    x = torch.cat([stripes, stripes.mT]) + 0.2 * picture("noise", (8, 3, 12, 12))
    y = torch.tensor([0] * 4 + [1] * 4)
    network = torch.nn.Sequential(
        Extractor(SMALL), ClassifierHead(ClassifierHeadConfig(widths=(16,)), 8, 2)
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.any():  # the maps' last layers start at zero and stay so
                parameter.copy_(0.6 * recipe_tensor(name, parameter.shape))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    cost = torch.nn.CrossEntropyLoss()
    before = cost(network(x), y).item()

    for _ in range(20):
        optimiser.zero_grad()
        cost(network(x), y).backward()
        optimiser.step()

    assert cost(network(x), y).item() < 0.5 * before
    assert all(module.map_1[-1].weight.any() for module in network[0].invertible.layers)


def test_the_spread_of_channels_is_that_of_all_positions_of_all_pictures():
    extractor = fill_by_recipe(Extractor(SMALL))
    pictures = [picture("a", (2, 3, 8, 8)), picture("b", (1, 3, 6, 9)), picture("c", (1, 3, 5, 5))]

    std = measure_channel_std(extractor, iter(pictures))

    everything = torch.cat([extractor(x).movedim(1, 0).flatten(1) for x in pictures], dim=1)
    torch.testing.assert_close(std, everything.std(1, correction=0), atol=0, rtol=1e-5)
    assert torch.equal(extractor.channel_std, torch.ones(8))


def test_the_spread_of_no_pictures_or_of_a_dead_channel_is_refused():
    extractor = fill_by_recipe(Extractor(SMALL))

    with pytest.raises(SettingsError, match="needs at least one picture"):
        measure_channel_std(extractor, [])
    with pytest.raises(SettingsError, match="a feature channel is constant"):
        measure_channel_std(extractor, [torch.zeros(1, 3, 8, 8)])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"widths": (12,)}, r"widths must be multiples of 8, got \[12\]"),
        ({"widths": ()}, r"widths must be multiples of 8, got \[\]"),
    ],
)
def test_impossible_heads_are_refused(options, words):
    with pytest.raises(SettingsError, match=words):
        ClassifierHeadConfig(**options)


def test_a_fresh_stem_answers_to_differences_and_not_to_brightness():
    """Where it answers to brightness, training leaves chance after hundreds of steps only."""
    stem = Extractor(SMALL).stem
    flat = [stem.conv_in(torch.full((1, 3, 8, 8), level)) for level in (-1.0, 0.0, 0.7)]

    torch.testing.assert_close(flat[0], flat[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(flat[2], flat[1], atol=1e-6, rtol=0)
    assert stem.conv_in(picture("a", (1, 3, 8, 8))).std() > 0.01
