import pytest
import torch

from hfdiff.core import fetch
from hfdiff.core.errors import SettingsError
from hfdiff.losses import adversarial
from hfdiff.model.model_file import load_model
from hfdiff.nn.features import VGG16, Trunk
from hfdiff.training.run import build
from support import fill_by_recipe
from training_pieces import batch_of, freed

VQ = "codec={kind: vq, ch: 32, n_embed: 32, ch_mult: [1, 1, 2], num_res_blocks: 1}"


def stage_of(ground, *changes):
    return freed(build("autoencoder", ground.settings("autoencoder", "stage", *changes), []))


def losses(stage, phase="generator", batch=None):
    batch = batch_of(2) if batch is None else batch
    return stage.losses(phase, batch, torch.Generator().manual_seed(0))


@pytest.fixture
def stored_vgg(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fetch.adopt("vgg16", fill_by_recipe(Trunk(VGG16)).state_dict(), "the recipe")


def test_terms_of_weight_0_are_neither_computed_nor_loaded(ground):
    stage = stage_of(ground, "adversarial=0")

    assert list(losses(stage)) == ["l1"]
    assert stage.frozen() == []
    assert [phase.name for phase in stage.phases] == ["generator"]


def test_every_term_is_there_when_it_has_a_weight(ground, stored_vgg):
    stage = stage_of(ground, VQ, "lpips=1", "lpips_part=32")

    terms = losses(stage)

    assert list(terms) == ["l1", "lpips", "adversarial", "codebook"]
    assert all(term.shape == () and term.dtype == torch.float32 for term in terms.values())
    assert terms.keys() | {"discriminator"} == stage.weights().keys()


def test_the_card_names_the_network_of_lpips_with_its_terms(ground, stored_vgg, tmp_path):
    stage = stage_of(ground, "lpips=1")

    stage.export(stage.networks(), tmp_path / "codec.safetensors", {"stage": "autoencoder"})

    told = load_model(tmp_path / "codec.safetensors")[1].card.training["stages"][-1]
    expected = "vgg16; torchvision's ImageNet weights (BSD-3-Clause)"
    assert told["frozen_networks"] == {"lpips": expected}


def test_lpips_alone_is_enough(ground, stored_vgg):
    terms = losses(stage_of(ground, "l1=0", "lpips=1"))

    assert list(terms) == ["lpips", "adversarial"]


def test_the_adversarial_term_carries_its_balance(ground):
    """Facts e.8: the ratio of gradients at the decoder's last layer, detached."""
    stage = stage_of(ground)
    batch = batch_of(2)
    codec = stage.networks()["codec"]

    terms = losses(stage, batch=batch)

    grads = {
        name: torch.autograd.grad(term, codec.last_weight, retain_graph=True)[0].norm()
        for name, term in terms.items()
    }
    assert grads["adversarial"].item() == pytest.approx(grads["l1"].item(), rel=1e-2)
    assert adversarial.LARGEST_WEIGHT == 1e4


def test_micro_batches_that_balance_on_their_own_are_said(ground, caplog):
    stage_of(ground, "micro_batch=2")
    assert caplog.messages == ["the adversarial term is balanced over each micro-batch on its own"]

    caplog.clear()
    stage_of(ground, "micro_batch=4")
    stage_of(ground, "micro_batch=2", "adversarial=0")
    assert caplog.messages == []


def test_the_discriminator_s_phase_gives_the_codec_no_gradient(ground):
    stage = stage_of(ground)
    codec, discriminator = (net.requires_grad_(True) for net in stage.networks().values())

    losses(stage, "discriminator")["discriminator"].backward()

    assert all(p.grad is None for p in codec.parameters())
    assert all(p.grad is not None for p in discriminator.parameters())


def test_noise_on_the_latent_is_drawn_per_sample_up_to_its_limit(ground):
    clean = losses(stage_of(ground, "adversarial=0", "latent_noise=0"))
    noisy = losses(stage_of(ground, "adversarial=0", "latent_noise=2"))

    assert clean["l1"] != noisy["l1"]


def test_a_run_may_go_on_with_another_file_s_codec(ground):
    start = ground.root / "lite_teacher.safetensors"
    stage = stage_of(ground, f"start={start}")
    started, _ = load_model(start)

    codec = stage.networks()["codec"]

    assert torch.equal(codec.decoder.enter.weight, started.codec.decoder.enter.weight)
    assert stage._config.role == "codec"
    assert stage._config.network is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["codec={kind: identity}"], "codec: the identity family has nothing to train"),
        (["codec.with_gt_encoder=false"], "codec: training needs the encoder of the gt"),
        (["l1=0"], "l1 and lpips are both 0"),
        (["adversarial=-1"], "adversarial must be at least 0, got -1"),
        (["lpips=1", "lpips_part=8"], "VGG16 needs squares of at least 16 pixels, got 8"),
        (["discriminator.layers=5"], "the discriminator needs pictures of at least 96 pixels"),
        (["data.scale=2"], "data.scale is 2, the networks enlarge by 4"),
    ],
)
def test_what_cannot_work_is_refused(ground, changes, message):
    with pytest.raises(SettingsError, match=message):
        stage_of(ground, *changes)
