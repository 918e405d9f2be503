"""Our autoencoder against recorded values of the published code (autoencoder_*.npz)."""

import json

import numpy as np
import pytest
import torch

from hfdiff.nn.autoencoder import VQAutoencoder, VQAutoencoderConfig
from hfdiff.nn.vq import codebook_loss
from small_networks import SMALL_AUTOENCODERS
from support import fill_by_recipe, picture, reference

pytestmark = pytest.mark.parity

# Measured float32 noise of the published code: latents 1e-6, pictures 8e-6.
LATENT = {"atol": 1e-5, "rtol": 0}
PICTURE = {"atol": 5e-5, "rtol": 0}
# Below this gap between best and second distance a code may flip with float noise.
NEAR_TIE = 1e-5

CONFIGS = {
    "small": SMALL_AUTOENCODERS["small"],
    "attn": SMALL_AUTOENCODERS["small_attn"],
    "official": VQAutoencoderConfig(),
}
CASES = [
    "small_32x32",
    "small_48x32",
    "small_50x38",
    "attn_32x32",
    "attn_24x40",
    "official_64x64",
    "official_96x64",
]


@pytest.fixture(scope="module")
def networks():
    return {}


@pytest.fixture(params=CASES)
def case(request, networks):
    """A network, its input and what was recorded for it."""
    kind = request.param.split("_")[0]
    if kind not in networks:
        networks[kind] = fill_by_recipe(VQAutoencoder(CONFIGS[kind]))
    file = "autoencoder_official.npz" if kind == "official" else "autoencoder_small.npz"
    with np.load(reference(file)) as arrays:
        names = [key for key in arrays.files if key.startswith(request.param + "/")]
        recorded = {key.split("/")[1]: torch.from_numpy(arrays[key]) for key in names}
    x = picture(f"ae_{request.param}/x", recorded["x"].shape)
    return networks[kind], x, recorded


def test_encode_gives_the_recorded_latent(case):
    network, x, recorded = case

    latent = network.encode(x)

    torch.testing.assert_close(latent, recorded["z"], **LATENT)


def test_quantise_finds_the_recorded_codes_away_from_ties(case):
    network, _, recorded = case
    clear = recorded["index_margin"] > NEAR_TIE

    z_q, indices = network.quantise(recorded["z"])

    assert torch.equal(indices[clear], recorded["indices"][clear].long())
    same = (indices == recorded["indices"])[:, None].expand_as(z_q)
    torch.testing.assert_close(z_q[same], recorded["zq"][same], **LATENT)


def test_codebook_loss_is_the_recorded_one(case):
    network, _, recorded = case
    codes = network.quantize.codes(recorded["indices"].long())

    loss = codebook_loss(recorded["z"], codes)

    expected = float(recorded["quant_loss_beta025_legacy"])
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_decode_of_the_recorded_codes_gives_the_recorded_picture(case):
    network, _, recorded = case
    codes = network.quantize.codes(recorded["indices"].long())

    decoded = network.decode(codes, quantise=False)

    torch.testing.assert_close(decoded, recorded["dec_quant"], **PICTURE)


def test_decode_quantises_by_default(case):
    network, _, recorded = case
    z_q, _ = network.quantise(recorded["z"])

    decoded = network.decode(recorded["z"])

    assert torch.equal(decoded, network.decode(z_q, quantise=False))


def test_decode_without_quantiser_gives_the_recorded_picture(case):
    network, _, recorded = case

    decoded = network.decode(recorded["z"], quantise=False)

    torch.testing.assert_close(decoded, recorded["dec_noquant"], **PICTURE)


@pytest.mark.parametrize("name", SMALL_AUTOENCODERS)
def test_small_networks_have_the_recorded_keys_and_shapes(name):
    recorded = json.loads(reference("small_networks.json").read_text())["autoencoder"][name]

    state = VQAutoencoder(SMALL_AUTOENCODERS[name]).state_dict()

    expected = {key: shape for key, (shape, _) in recorded["state_dict"].items()}
    assert {key: list(tensor.shape) for key, tensor in state.items()} == expected
