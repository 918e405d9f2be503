"""From two published files to one model: parts, schedule, role, licences, refusals."""

import pytest
import torch

from hfdiff.core.errors import CheckpointError, SettingsError
from hfdiff.model.build import build_model
from hfdiff.model.config import ModelConfig
from hfdiff.model.convert.assemble import convert_published
from hfdiff.model.convert.table import FIFTEEN_STEPS, FOUR_STEPS, RELEASES, UNSUPPORTED
from hfdiff.model.model_file import load_model, save_model
from hfdiff.nn.autoencoder import VQAutoencoder
from hfdiff.nn.swin_unet import SwinUNet
from small_models import SMALL_UNET, SMALL_VQ
from support import fill_by_recipe

SIZES = {"unet_config": SMALL_UNET, "autoencoder_config": SMALL_VQ}


@pytest.fixture(scope="module")
def networks():
    return fill_by_recipe(SwinUNet(SMALL_UNET)), fill_by_recipe(VQAutoencoder(SMALL_VQ))


@pytest.fixture
def files(tmp_path, networks):
    """The two files under their published names."""
    paths = tmp_path / "SinSR_v1.pth", tmp_path / "autoencoder_vq_f4.pth"
    for path, network in zip(paths, networks, strict=True):
        torch.save(network.state_dict(), path)
    return paths


def test_the_model_is_made_of_the_two_networks(files, networks):
    unet, autoencoder = networks
    lq = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1

    model, _ = convert_published(*files, **SIZES)

    assert model.config == ModelConfig(
        network=SMALL_UNET, codec=SMALL_VQ, schedule=FIFTEEN_STEPS, role="student"
    )
    assert torch.equal(model.network(lq, torch.tensor([3]), lq), unet(lq, torch.tensor([3]), lq))
    assert torch.equal(model.encode_gt(lq), autoencoder.encode(lq))
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_card_names_both_licences_and_the_hashes_of_both_files(files):
    from hfdiff.core.files import sha256_of

    _, card = convert_published(*files, **SIZES)

    assert card.name == "SinSR_v1"
    assert "denoiser: CC BY-NC-SA 4.0" in card.licence
    assert "autoencoder: code of latent-diffusion: MIT" in card.licence
    assert "non-commercial" in card.licence
    assert card.training["converted_from"] == {path.name: sha256_of(path) for path in files}
    assert card.limits


@pytest.mark.parametrize("form", ["a.safetensors", "folder"])
def test_a_converted_model_survives_its_file(files, tmp_path, form):
    model, card = convert_published(*files, **SIZES)

    save_model(tmp_path / form, model, card)

    loaded, description = load_model(tmp_path / form)
    assert description.card == card
    expected = model.state_dict()
    assert all(torch.equal(t, expected[key]) for key, t in loaded.state_dict().items())


UNETS = {name: release for name, release in RELEASES.items() if release.kind == "unet"}


@pytest.mark.parametrize(("name", "release"), UNETS.items())
def test_each_release_brings_its_schedule_and_role(files, name, release):
    renamed = files[0].with_name("renamed.pth")
    files[0].rename(renamed)

    model, card = convert_published(renamed, files[1], release=name, **SIZES)

    assert model.config.role == ("student" if name.startswith("SinSR") else "teacher")
    assert model.config.schedule == (FOUR_STEPS if "_s4" in name else FIFTEEN_STEPS)
    assert card.name == release.name


def test_a_file_of_another_name_needs_the_release_said(files):
    renamed = files[0].with_name("mine.pth")
    files[0].rename(renamed)

    with pytest.raises(SettingsError, match=r"mine\.pth is no known release") as caught:
        convert_published(renamed, files[1], **SIZES)

    assert caught.value.hint.startswith("say which by --release; known: resshift_realsrx4_s15_v1")


@pytest.mark.parametrize(("name", "reason"), UNSUPPORTED.items())
def test_releases_of_other_tasks_are_refused_for_what_they_are(files, name, reason):
    with pytest.raises(SettingsError, match=f"{name} cannot be converted: {reason}"):
        convert_published(files[0], files[1], release=name, **SIZES)


def test_two_files_in_the_wrong_order_are_named(files):
    with pytest.raises(CheckpointError, match=r"autoencoder_vq_f4\.pth"):
        convert_published(files[1], files[0], release="SinSR_v1.pth", **SIZES)


def test_the_autoencoder_is_no_release_to_upscale_with(files):
    with pytest.raises((SettingsError, CheckpointError)):
        convert_published(files[1], files[1], **SIZES)


def test_a_missing_file_is_one_sentence(files):
    files[1].unlink()

    with pytest.raises(CheckpointError, match=r"autoencoder_vq_f4\.pth does not exist"):
        convert_published(*files, **SIZES)


def test_networks_of_other_sizes_are_refused_by_key(files):
    """The published sizes do not fit these small files."""
    with pytest.raises(CheckpointError, match=r"SinSR_v1\.pth"):
        convert_published(*files)


def test_what_is_built_is_what_a_model_file_builds(files):
    model, _ = convert_published(*files, **SIZES)

    assert build_model(model.config).state_dict().keys() == model.state_dict().keys()
