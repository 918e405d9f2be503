import pytest
import torch

from hfdiff.core.errors import CheckpointError, SettingsError
from hfdiff.diffusion.schedule import ScheduleConfig
from hfdiff.training.run import build
from training_pieces import batch_of, freed, lite_teacher_file, published_codec_file


def stage_of(ground, *changes):
    return freed(build("teacher", ground.settings("teacher", "stage", *changes), []))


def losses(stage, batch):
    return stage.losses("teacher", batch, torch.Generator().manual_seed(0))


def test_the_encoder_of_the_lq_learns_by_its_own_term_and_no_other(ground):
    stage = stage_of(ground)
    encoder = stage.networks()["lq_encoder"]

    terms = losses(stage, batch_of(2))

    mse = torch.autograd.grad(
        terms["mse"], list(encoder.parameters()), allow_unused=True, retain_graph=True
    )
    lq = torch.autograd.grad(terms["lq"], list(encoder.parameters()))
    assert all(gradient is None for gradient in mse)
    assert all(gradient is not None for gradient in lq)


def test_without_that_term_the_encoder_stays_as_it_is(ground):
    stage = stage_of(ground, "lq=0")

    assert list(stage.networks()) == ["network"]
    assert list(losses(stage, batch_of(2))) == ["mse"]


def test_a_teacher_that_knows_the_answer_has_no_error(ground):
    """mse compares with the gt's latent: where the network answers with it, nothing is left."""
    stage = stage_of(ground)
    batch = batch_of(2)
    answer = stage.frozen()[0].encode_gt(batch.gt_pm1)
    stage._denoiser = stage._denoiser.__class__(lambda x, t, lq: answer, stage._schedule)

    assert losses(stage, batch)["mse"] == 0


def test_terms_follow_from_the_generator_and_each_sample_has_its_own_index(ground):
    stage = stage_of(ground, "schedule.steps=15", "schedule.min_noise=0.04")
    seen = []
    stage._denoiser = stage._denoiser.__class__(
        lambda x, t, lq: (seen.append(t), torch.zeros_like(x))[1], stage._schedule
    )

    first, second = losses(stage, batch_of(8)), losses(stage, batch_of(8))

    assert torch.equal(first["mse"], second["mse"])
    assert len(set(seen[0].tolist())) > 3
    assert torch.equal(seen[0], seen[1])


def test_a_run_may_go_on_with_a_teacher_and_its_schedule(ground):
    stage = stage_of(ground, f"start={lite_teacher_file(ground.root)}", "schedule.steps=9")

    assert stage._config.schedule == ScheduleConfig(steps=4, min_noise=0.2)
    assert stage._config.role == "teacher"


def test_the_family_of_the_codec_decides_what_is_trained(ground):
    start = published_codec_file(ground.root)

    stage = stage_of(ground, f"start={start}", "network.latent_channels=3")

    assert list(stage.networks()) == ["network"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (["start=''"], SettingsError, "start: a teacher needs an autoencoder's model file"),
        (["start=nowhere.safetensors"], CheckpointError, "nowhere.safetensors does not exist"),
        (
            ["network={kind: swin_unet, in_channels: 7, out_channels: 4, model_channels: 32}"],
            SettingsError,
            r"data\.gt_size must be a multiple of 256 for this network, got 64",
        ),
    ],
)
def test_what_cannot_work_is_refused(ground, changes, error, message):
    with pytest.raises(error, match=message):
        stage_of(ground, *changes)


def test_recomputing_changes_memory_and_no_gradient(ground):
    def gradients(*changes):
        stage = stage_of(ground, *changes)
        losses(stage, batch_of(2))["mse"].backward()
        network = stage.networks()["network"]
        assert network.recomputes == ("recompute=true" in changes)
        return [p.grad for p in network.parameters()]

    torch.testing.assert_close(gradients("recompute=true"), gradients(), atol=0, rtol=0)
