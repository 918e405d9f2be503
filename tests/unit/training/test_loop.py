import logging
import shutil
from collections import Counter

import pytest
import torch

from hfdiff.core.errors import ResourceError, SettingsError
from hfdiff.core.weights import read_weights
from hfdiff.data.batches import PairBatches
from hfdiff.data.pictures import PictureSet
from hfdiff.model.model_file import load_model
from hfdiff.training.finite import NotFiniteError
from hfdiff.training.log import read_log
from hfdiff.training.loop import Trainer, make_accelerator
from hfdiff.training.run import build
from hfdiff.training.stages.teacher import TeacherStage
from hfdiff.training.stopping import StoppedError
from hfdiff.training.table import STAGES
from training_pieces import checkpoint

CPU = ("float32", "cpu")


def tensors_of(run, step):
    return read_weights(checkpoint(run, step))[0]


def assert_same_tensors(a, b):
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []


def rows_of(run):
    """What of the log depends neither on the clock nor on how often the run was started."""
    rows = read_log(run / "metrics.csv")
    return [row for row in rows if not row[1].startswith(("samples_per_second", "weight/"))]


def as_killed_after(run, step, target):
    """A folder as kill -9 leaves it some steps after a checkpoint."""
    (target / "checkpoints").mkdir(parents=True)
    shutil.copy(checkpoint(run, step), target / "checkpoints")
    shutil.copy(run / "metrics.csv", target)
    return target


@pytest.fixture(scope="module")
def undisturbed(ground):
    return {stage: ground.train(stage, f"undisturbed-{stage}") for stage in STAGES}


def trainer_of(ground, out, *changes, kind=TeacherStage):
    settings = ground.settings("teacher", out, *changes)
    pictures = PictureSet(settings.data.root, least_side=64)
    batches = PairBatches(pictures, settings.data, seed=0, batch=settings.batch)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        stage = kind(settings, [])
    return Trainer(stage, make_accelerator(*CPU)), batches


# Resuming


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_and_resumed_run_equals_an_undisturbed_one_to_the_bit(
    ground, undisturbed, tmp_path, stage
):
    whole = undisturbed[stage]
    killed = as_killed_after(whole, 3, tmp_path / "run")

    ground.train(stage, "unused", f"out={killed}", resume=True)

    assert_same_tensors(tensors_of(killed, 6), tensors_of(whole, 6))
    model = "model.safetensors"
    assert read_weights(killed / model)[0].keys() == read_weights(whole / model)[0].keys()
    assert (killed / model).read_bytes() == (whole / model).read_bytes()
    assert rows_of(killed) == rows_of(whole)


def test_a_finished_run_that_is_resumed_computes_nothing_and_writes_its_model_again(ground):
    run = ground.train("teacher", "finished")
    before = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").unlink()

    ground.train("teacher", "finished", resume=True)

    assert (run / "model.safetensors").read_bytes() == before


def test_other_settings_than_the_checkpoint_s_are_said(ground, undisturbed, tmp_path, caplog):
    killed = as_killed_after(undisturbed["teacher"], 3, tmp_path / "run")

    with caplog.at_level(logging.WARNING):
        ground.train("teacher", "unused", f"out={killed}", "optimiser.clip=1", resume=True)

    assert [record.getMessage() for record in caplog.records] == [
        "other than in the checkpoint: optimiser.clip is 1.0, was 0.0"
    ]


def test_resuming_without_a_checkpoint_starts_from_the_beginning(ground, undisturbed):
    run = ground.train("teacher", "resumed-from-nothing", resume=True)

    assert_same_tensors(tensors_of(run, 6), tensors_of(undisturbed["teacher"], 6))


@pytest.mark.parametrize("stage", STAGES)
def test_workers_change_nothing(ground, undisturbed, stage):
    run = ground.train(stage, f"workers-{stage}", "data.workers=1")

    assert_same_tensors(tensors_of(run, 6), tensors_of(undisturbed[stage], 6))


def test_training_leaves_the_global_generator_alone(ground):
    before = torch.get_rng_state()

    ground.train("distill", "generator")

    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_gives_other_weights(ground, undisturbed):
    run = ground.train("teacher", "seeded", "seed=1")

    weights = "networks/network.enter.weight"
    assert not torch.equal(
        tensors_of(run, 6)[weights], tensors_of(undisturbed["teacher"], 6)[weights]
    )


# Micro-batches


def gradients_of(run):
    """Adam's first moments after one step are (1 - beta_1) times the gradient."""
    moments = tensors_of(run, 1).items()
    return {key: tensor / 0.1 for key, tensor in moments if key.endswith("/exp_avg")}


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize(
    ("stage", "changes"),
    [("autoencoder", ["adversarial=0"]), ("teacher", []), ("distill", ["part=12"])],
)
def test_micro_batches_give_the_gradients_and_terms_of_the_batch(ground, stage, changes, micro):
    once = ["iterations=1", "checkpoint_every=1", "norms_every=0", *changes]
    whole = ground.train(stage, f"micro-{stage}-{micro}-whole", *once)

    parts = ground.train(stage, f"micro-{stage}-{micro}", *once, f"micro_batch={micro}")

    a, b = gradients_of(whole), gradients_of(parts)
    assert len(a) > 10
    for key in a:
        torch.testing.assert_close(b[key], a[key], atol=1e-6, rtol=1e-4, msg=lambda m, k=key: k + m)
    for (_, name, x), (_, _, y) in zip(rows_of(whole), rows_of(parts), strict=True):
        assert x == pytest.approx(y, rel=2e-5), name


def test_micro_batches_give_the_running_statistics_of_the_batch(ground):
    once = ["iterations=1", "checkpoint_every=1", "adversarial=0"]

    whole = tensors_of(ground.train("autoencoder", "statistics-whole", *once), 1)
    parts = tensors_of(ground.train("autoencoder", "statistics", *once, "micro_batch=2"), 1)

    mean = "networks/codec.latent_mean"
    torch.testing.assert_close(parts[mean], whole[mean], atol=1e-6, rtol=1e-5)


def test_a_phase_leaves_the_statistics_of_other_networks_alone(ground):
    """The discriminator's phase runs the codec once more; that must not count."""
    once = ["iterations=1", "checkpoint_every=1"]

    alone = tensors_of(ground.train("autoencoder", "one-phase", *once, "adversarial=0"), 1)
    both = tensors_of(ground.train("autoencoder", "two-phases", *once), 1)

    for name in ("latent_mean", "latent_std"):
        key = f"networks/codec.{name}"
        torch.testing.assert_close(both[key], alone[key], atol=1e-7, rtol=0)


# Averages, phases, frozen networks


def test_averages_start_as_the_start_weights(ground):
    """Facts e.6: e <- 0.9 e + 0.1 w from the first step on."""
    run = ground.train(
        "distill", "averages", "iterations=1", "checkpoint_every=1", "ema=0.9", "ema_warmup=false"
    )
    started = read_weights(ground.root / "lite_teacher.safetensors")[0]
    tensors = tensors_of(run, 1)

    for key, tensor in tensors.items():
        name = key.removeprefix("averaged/module.student.")
        if name != key:
            now = tensors[f"networks/student.{name}"]
            assert not torch.equal(now, started[f"network.{name}"])
            wanted = 0.9 * started[f"network.{name}"] + 0.1 * now
            torch.testing.assert_close(tensor, wanted, atol=1e-6, rtol=0)


def test_what_is_exported_are_the_averages(ground, undisturbed):
    tensors = tensors_of(undisturbed["teacher"], 6)

    model = read_weights(undisturbed["teacher"] / "model.safetensors")[0]

    for key, tensor in model.items():
        if key.startswith("network."):
            assert torch.equal(tensor, tensors[f"averaged/module.{key}"])


def test_frozen_networks_stay_as_they_were(ground, undisturbed):
    started = read_weights(ground.root / "lite_codec.safetensors")[0]

    model = read_weights(undisturbed["teacher"] / "model.safetensors")[0]

    for key, tensor in started.items():
        is_trained = key.startswith("codec.lq_encoder")
        assert torch.equal(model[key], tensor) != is_trained, key


def test_every_step_and_what_it_weighs_is_in_the_log(undisturbed):
    rows = read_log(undisturbed["distill"] / "metrics.csv")

    counts = Counter(name for _, name, _ in rows)
    for name in ("distill", "inv", "con", "l1", "adversarial", "discriminator"):
        assert counts[name] == 6
        assert counts[f"weight/{name}"] == 1
    assert counts["student/gradient_norm"] == counts["discriminator/gradient_norm"] == 6
    assert [step for step, name, _ in rows if name == "student/norm_of/con"] == [1, 5]
    assert [step for step, name, _ in rows if name == "learning_rate"] == [2, 4, 6]
    assert max(Counter((step, name) for step, name, _ in rows).values()) == 1


def test_clipping_bounds_the_step_and_not_the_norm_that_is_logged(ground):
    once = ["iterations=1", "checkpoint_every=1"]
    free = ground.train("teacher", "free", *once)
    clipped = ground.train("teacher", "clipped", *once, "optimiser.clip=0.01")

    assert rows_of(free) == rows_of(clipped)
    norm = torch.stack([g.norm() for g in gradients_of(clipped).values()]).norm()
    assert norm.item() == pytest.approx(0.01, rel=1e-4)


def test_a_phase_without_weights_is_refused(ground):
    class Empty(TeacherStage):
        def networks(self):
            return {name: torch.nn.Identity() for name in super().networks()}

    with pytest.raises(SettingsError, match="phase teacher has nothing to train"):
        trainer_of(ground, "empty", kind=Empty)


# Stopping


class StopsAt(PairBatches):
    """Asks for an end while batch 3 is prepared, that is during step 4 of 6."""

    trainer: Trainer

    def __getitem__(self, number):
        if number == 3:
            self.trainer.stop()
        return super().__getitem__(number)


def test_a_run_that_is_asked_to_stop_saves_after_the_step_and_can_go_on(ground, undisturbed):
    trainer, batches = trainer_of(ground, "stopped", "seed=0")
    batches.__class__ = StopsAt
    batches.trainer = trainer

    with pytest.raises(StoppedError, match="stopped after step 4, which is saved") as stopped:
        trainer.run(batches)

    run = ground.root / "stopped"
    assert stopped.value.step == 4
    assert checkpoint(run, 4).exists()
    assert not (run / "model.safetensors").exists()
    ground.train("teacher", "stopped", resume=True)
    assert read_log(run / "metrics.csv")[-1][0] == 6


def test_a_validation_that_was_due_when_the_run_ended_is_made_up_for(ground, tmp_path):
    class Validating(TeacherStage):
        best_by = "score"

        def validate(self, averaged, folder):
            return {"score": 1.0}

    changes = ["validate_every=3"]
    trainer, batches = trainer_of(ground, "validated", *changes, kind=Validating)
    trainer.run(batches)
    whole = ground.root / "validated"
    killed = as_killed_after(whole, 3, tmp_path / "run")
    rows = [row for row in (whole / "metrics.csv").read_text().splitlines() if "score" not in row]
    (killed / "metrics.csv").write_text("\n".join(rows) + "\n")

    trainer, batches = trainer_of(ground, "", *changes, f"out={killed}", kind=Validating)
    trainer.run(batches, resume=True)

    assert [row[0] for row in read_log(killed / "metrics.csv") if "score" in row[1]] == [3, 6]


class Scored(TeacherStage):
    """Its validations after steps 2, 4 and 6 give these numbers."""

    best_by = "score"
    scores = (0.5, 0.25, 0.75)

    def validate(self, averaged, folder):
        return {"score": self.scores[int(folder.name) // 2 - 1]}


def steps_of(path):
    """Steps that the card of a model file states."""
    return load_model(path)[1].card.training["stages"][-1]["steps"]


def test_weights_of_the_best_validation_are_kept_beside_the_last(ground):
    trainer, batches = trainer_of(ground, "best", "validate_every=2", kind=Scored)
    trainer.run(batches)

    run = ground.root / "best"
    assert steps_of(run / "best.safetensors") == 4
    assert steps_of(run / "model.safetensors") == 6


def test_what_is_no_number_is_never_the_best(ground):
    class Spoilt(Scored):
        scores = (float("nan"), 0.5, float("nan"))

    trainer, batches = trainer_of(ground, "spoilt", "validate_every=2", kind=Spoilt)
    trainer.run(batches)

    assert steps_of(ground.root / "spoilt" / "best.safetensors") == 4


def test_the_best_is_the_same_after_a_kill(ground, tmp_path):
    """Validations behind the checkpoint are done again, and judged without their old numbers."""
    trainer, batches = trainer_of(ground, "best-whole", "validate_every=2", kind=Scored)
    trainer.run(batches)
    whole = ground.root / "best-whole"
    killed = as_killed_after(whole, 3, tmp_path / "run")

    trainer, batches = trainer_of(ground, "", "validate_every=2", f"out={killed}", kind=Scored)
    trainer.run(batches, resume=True)

    kept = [read_weights(run / "best.safetensors")[0] for run in (whole, killed)]
    assert_same_tensors(*kept)


def test_without_validation_there_is_no_best(ground):
    run = ground.train("teacher", "unvalidated")

    assert not (run / "best.safetensors").exists()


# Numbers that are not finite


class Poisoned(PairBatches):
    """Sample 2 of batch 4 is no picture."""

    def __getitem__(self, number):
        batch = super().__getitem__(number)
        if number == 4:
            batch.lq_pm1[2, 0, 5, 5] = float("nan")
        return batch


def test_nan_in_a_picture_stops_the_run_and_names_term_step_and_file(ground, caplog):
    caplog.set_level(logging.INFO)
    trainer, batches = trainer_of(ground, "nan-picture")
    name = batches[4].names[2]
    batches.__class__ = Poisoned

    with pytest.raises(NotFiniteError) as caught:
        trainer.run(batches)

    assert f"term mse is nan in step 4 because lq is not finite in {name}; " in str(caught.value)
    assert str(caught.value).endswith(", ".join(batches[4].names))
    assert "the last checkpoint is intact" in caught.value.hint
    ground.train("teacher", "nan-picture", resume=True)
    assert {"resuming after step 3"} <= {record.getMessage() for record in caplog.records}


def test_nan_in_a_weight_stops_the_run_and_names_the_tensor(ground):
    trainer, batches = trainer_of(ground, "nan-weight")
    with torch.no_grad():
        trainer.networks["network"].leave.weight[0, 0, 0, 0] = float("nan")

    with pytest.raises(NotFiniteError, match=r"term mse is nan in step 0 because weights are not "):
        trainer.run(batches)

    assert not (ground.root / "nan-weight" / "checkpoints").exists()


class SpikyStage(TeacherStage):
    """A term whose value is 0 and whose gradient is no number, from batch 4 on."""

    number = 0

    def terms(self, batch, *, t, noise):
        terms = dict(super().terms(batch, t=t, noise=noise))
        self.number += 1
        weight = self.networks()["network"].leave.bias
        strength = 0.0 if self.number > 4 else 1.0
        terms["spiky"] = (strength * weight.square().sum() + (strength == 1)).sqrt()
        return terms

    def weights(self):
        return {**super().weights(), "spiky": 0.5}


def test_nan_in_a_gradient_stops_the_run_and_names_the_term(ground):
    trainer, batches = trainer_of(ground, "nan-gradient", kind=SpikyStage)

    with pytest.raises(NotFiniteError) as caught:
        trainer.run(batches)

    assert str(caught.value).startswith(
        "the gradient of term spiky is not finite in step 4, phase teacher; the batch holds /"
    )
    assert checkpoint(ground.root / "nan-gradient", 3).exists()
    assert all(torch.isfinite(p).all() for p in trainer.networks.parameters())


def test_nan_from_the_teacher_stops_the_run_before_a_step_is_made_of_it(ground):
    stage = build("distill", ground.settings("distill", "nan-teacher"), [])
    with torch.no_grad():
        stage.frozen()[0].leave.weight[0, 0, 0, 0] = float("nan")
    trainer = Trainer(stage, make_accelerator(*CPU))
    batches = PairBatches(stage.settings.data.pictures(), stage.settings.data, seed=0, batch=4)

    with pytest.raises(NotFiniteError, match=r"term distill is nan in step 0") as caught:
        trainer.run(batches)

    assert str(caught.value).endswith(", ".join(batches[0].names))
    assert all(bool(torch.isfinite(p).all()) for p in trainer.networks.parameters())


def test_weights_that_are_not_finite_are_never_saved(ground):
    trainer, _ = trainer_of(ground, "nan-saved")
    with torch.no_grad():
        trainer.networks["network"].leave.weight[0, 0, 0, 0] = float("inf")

    with pytest.raises(
        NotFiniteError, match=r"after step 6 networks hold values .* network\.leave"
    ):
        trainer._save(6)

    assert not (ground.root / "nan-saved").exists()


# The disk


def test_a_disk_without_room_is_met_before_the_run(ground, monkeypatch):
    usage = shutil.disk_usage(ground.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))

    with pytest.raises(ResourceError, match=r"checkpoints need [0-9]+ MiB below .*, 0 are free"):
        ground.train("teacher", "no-room")


def test_a_checkpoint_that_cannot_be_written_is_one_sentence(ground):
    run = ground.root / "unwritable"
    run.mkdir()
    (run / "checkpoints").write_text("in the way")

    with pytest.raises(ResourceError, match="the checkpoint of step 3 cannot be written below"):
        ground.train("teacher", "unwritable")


def test_a_log_that_cannot_be_written_is_one_sentence(ground):
    class LosesItsLog(TeacherStage):
        def terms(self, batch, *, t, noise):
            log = ground.root / "no-log" / "metrics.csv"
            log.unlink()
            log.mkdir()
            return super().terms(batch, t=t, noise=noise)

    trainer, batches = trainer_of(ground, "no-log", kind=LosesItsLog)

    with pytest.raises(ResourceError, match="the log cannot be written below") as caught:
        trainer.run(batches)

    assert caught.value.hint == "the last checkpoint is intact: make room, then --resume"


def test_only_the_newest_checkpoints_are_kept(ground):
    run = ground.train("teacher", "rotated", "checkpoint_every=1", "keep=2")

    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "step-00000005.safetensors",
        "step-00000006.safetensors",
    ]


def test_a_device_that_only_a_launcher_can_choose_is_refused():
    with pytest.raises(SettingsError, match="device must be auto or cpu, got cuda:1"):
        make_accelerator("float32", "cuda:1")


@pytest.mark.parametrize(("step", "validations"), [(1, 3), (4, 3), (5, 2), (8, 2), (9, 1), (10, 1)])
def test_the_time_left_counts_validations_once_one_was_timed(ground, step, validations):
    trainer, _ = trainer_of(ground, "left", "iterations=10", "validate_every=4")
    assert trainer._seconds_left(step) == 0

    trainer.seconds["validation"] = 7.0

    assert trainer._seconds_left(step) == 7.0 * validations
