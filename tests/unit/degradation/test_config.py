"""What a degradation's configuration accepts, and what the presets are."""

import pytest

from hfdiff.core.errors import SettingsError
from hfdiff.core.settings import plain, validate
from hfdiff.degradation.config import DegradationConfig, Mixture, Part
from hfdiff.degradation.presets import PRESETS, preset


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scale", 0, "scale must be at least 1"),
        ("blur_kernel_size", 20, "blur_kernel_size must be odd and at least 5, got 20"),
        ("kernel_prob2", (0.5, 0.5), "kernel_list2 has 6 entries, kernel_prob2 2"),
        ("resize_prob", (0.5, 0.5, 0.5), "resize_prob must not be negative and sum to 1"),
        ("sinc_prob", 1.5, r"sinc_prob must lie in \[0, 1\]"),
        ("noise_range", (5.0, 1.0), "noise_range must rise"),
        ("jpeg_range", (0.0, 90.0), "jpeg_range must rise and lie above 0 to 100"),
        ("jpeg_range2", (90.0, 101.0), "jpeg_range2 must rise and lie above 0 to 100"),
        ("resize_range2", (0.2, 0.9), "resize_range2 must hold 1"),
        ("resize_modes", (), "resize_modes must not be empty"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_name(key, value, message):
    with pytest.raises(SettingsError, match=message):
        DegradationConfig(**{key: value})


def test_a_mixture_needs_shares_that_sum_to_one_and_one_scale():
    with pytest.raises(SettingsError, match="shares of a mixture"):
        Mixture(parts=(Part(share=0.5, config=DegradationConfig()),))
    with pytest.raises(SettingsError, match="one scale"):
        Mixture(
            parts=(
                Part(share=0.5, config=DegradationConfig(scale=2)),
                Part(share=0.5, config=DegradationConfig(scale=4)),
            )
        )


def test_a_configuration_survives_yaml_and_names_the_nearest_key():
    config = DegradationConfig(noise_range=(2.0, 3.0), resize_modes=("area",))

    assert validate(plain(config), DegradationConfig, "file") == config
    with pytest.raises(SettingsError, match="unknown key jpeg_rang") as caught:
        validate({"jpeg_rang": [30, 95]}, DegradationConfig, "file")
    assert caught.value.hint == "did you mean jpeg_range?"


def test_the_training_preset_is_the_published_table():
    config = PRESETS["training"]

    assert isinstance(config, DegradationConfig)
    assert (config.blur_kernel_size, config.blur_kernel_size2) == (21, 15)
    assert config.kernel_prob == config.kernel_prob2 == (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    assert (config.resize_range, config.resize_range2) == ((0.15, 1.5), (0.3, 1.2))
    assert (config.noise_range, config.noise_range2) == ((1, 30), (1, 25))
    assert (config.second_order_prob, config.second_blur_prob) == (0.5, 0.8)
    assert config.final_sinc_prob == 0.8


def test_a_preset_is_had_for_any_scale_and_an_unknown_one_lists_the_known():
    assert preset("training", scale=2).scale == 2
    assert preset("mixed", scale=3).scale == 3
    with pytest.raises(SettingsError, match="no degradation preset 'hard'") as caught:
        preset("hard")
    known = "training, imagenet_test, mild, camera, mixed, photographs"
    assert caught.value.hint == f"known presets: {known}"
