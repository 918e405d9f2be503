"""Rules of a model's configuration: what cannot work is refused before anything is built."""

import pytest

from hfdiff.core.errors import SettingsError
from hfdiff.core.settings import plain, validate
from hfdiff.model.config import ModelConfig
from hfdiff.nn.identity import IdentityConfig
from small_models import SMALL, SMALL_LITE, SMALL_LITE_CODEC, SMALL_UNET, SMALL_VQ, families


def test_every_family_has_a_small_model_here():
    """A new family must join the sweeps below and in test_model_file."""
    parts = {type(part) for config in SMALL.values() for part in (config.network, config.codec)}

    assert families() <= parts


@pytest.mark.parametrize("config", SMALL.values(), ids=list(SMALL))
def test_a_configuration_survives_its_plain_form(config):
    assert validate(plain(config), ModelConfig, "x") == config


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_a_model_that_samples_needs_a_network(role):
    with pytest.raises(SettingsError, match=f"a model of role {role} needs a network"):
        ModelConfig(codec=SMALL_VQ, role=role)


def test_a_codec_has_no_network():
    with pytest.raises(SettingsError, match="a codec has none"):
        ModelConfig(network=SMALL_UNET, codec=SMALL_VQ, role="codec")


@pytest.mark.parametrize("scale", [1, 2, 8])
def test_latents_must_lie_on_the_lq_s_grid(scale):
    with pytest.raises(SettingsError, match=f"scale {scale} needs a codec of that factor, got 4"):
        ModelConfig(network=SMALL_LITE, codec=SMALL_LITE_CODEC, scale=scale)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tile", 0, "tile must be at least 1, got 0"),
        ("overlap", -1, "overlap must be at least 0, got -1"),
        ("halo", -1, "halo must be at least 0, got -1"),
    ],
)
def test_tiles_that_cannot_be_cut_are_refused(field, value, message):
    """A negative overlap would leave gaps in pictures."""
    with pytest.raises(SettingsError, match=message):
        ModelConfig(network=SMALL_LITE, codec=SMALL_LITE_CODEC, **{field: value})


def test_a_network_says_what_sides_must_be_multiples_of():
    assert ModelConfig(network=SMALL_UNET, codec=SMALL_VQ).multiple == SMALL_UNET.multiple == 4
    assert ModelConfig(codec=SMALL_VQ, role="codec").multiple == 1
    with pytest.raises(SettingsError, match="multiple must be at least 1"):
        ModelConfig(network=IdentityConfig(multiple=0), codec=IdentityConfig())


@pytest.mark.parametrize("factor", [0, 17])
def test_the_identity_enlarges_by_1_to_16(factor):
    with pytest.raises(SettingsError, match=f"factor must lie in 1..16, got {factor}"):
        IdentityConfig(factor=factor)
