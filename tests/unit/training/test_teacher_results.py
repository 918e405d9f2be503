import logging

import pytest
import torch

from hfdiff.core.errors import SettingsError
from hfdiff.core.weights import read_weights
from hfdiff.data.stored import CHUNK, StoredBatch
from hfdiff.training.loop import Trainer
from hfdiff.training.presets import PRESETS
from hfdiff.training.run import build, prepare, train
from hfdiff.training.teacher_results import store_missing
from training_pieces import batch_of, checkpoint

COUNT = CHUNK + 3


def trainer_of(ground, out, *changes):
    settings = ground.settings("distill", out, f"stored_samples={COUNT}", *changes)
    ready = prepare("distill", settings, "cpu")
    return Trainer(build("distill", settings, []), ready.accelerator), ready.batches


def test_the_teacher_is_asked_about_each_sample_and_its_answers_are_used(ground):
    trainer, batches = trainer_of(ground, "asked")

    store_missing(trainer, batches)

    batch = batches[0]
    assert isinstance(batch, StoredBatch)
    stage, phase = trainer.stage, trainer.stage.phases[0]
    with torch.no_grad():
        live = stage.inputs(batch_of_plain(batch), noise=batch.noise)
        torch.testing.assert_close(batch.x_0_teacher, live.x_0_teacher, atol=1e-4, rtol=1e-4)
        expected = (live.x_0_student - live.x_0_teacher).square().mean()
    terms = trainer.terms(0, phase, batch)
    torch.testing.assert_close(terms["distill"].detach(), expected, atol=1e-5, rtol=1e-4)


def batch_of_plain(batch):
    """The same pairs without what is stored."""
    plain = batch_of(len(batch))
    return plain.__class__(lq_pm1=batch.lq_pm1, gt_pm1=batch.gt_pm1, names=batch.names)


def test_a_run_asks_the_teacher_once(ground, monkeypatch, caplog):
    first = ["stored_samples=8", "iterations=6"]
    with caplog.at_level(logging.INFO):
        run = ground.train("distill", "once-asked", *first)
    assert "teacher results: 8 in" in caplog.text
    assert len(list((run / "teacher_results").glob("*.safetensors"))) == 1

    def never(*arguments, **options):
        raise AssertionError("the teacher was asked")

    monkeypatch.setattr("hfdiff.training.stages.distill.sample_deterministic", never)
    again = ground.train(
        "distill", "asked-again", *first, f"stored_folder={run / 'teacher_results'}"
    )

    one, other = (read_weights(checkpoint(out, 6))[0] for out in (run, again))
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_results_of_another_teacher_or_of_other_data_are_refused(ground):
    run = ground.train("distill", "of-one", "stored_samples=8", "iterations=1")
    folder = f"stored_folder={run / 'teacher_results'}"

    for change, what in (("data.degradation=training", "data"), ("seed=5", "seed")):
        settings = ground.settings("distill", "of-other", "stored_samples=8", folder, change)
        with pytest.raises(SettingsError, match=f"were made with another {what}$"):
            train("distill", settings, device="cpu")


def test_the_paper_has_no_stored_results():
    assert "stored_samples" not in PRESETS["distill"]["paper"]
    assert "stored_folder" not in PRESETS["distill"]["paper"]
