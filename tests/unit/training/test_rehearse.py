import json
from dataclasses import replace

import pytest

from hfdiff.core.errors import SettingsError
from hfdiff.imaging.files import read_picture
from hfdiff.training.rehearse import rehearse
from hfdiff.training.table import STAGES
from training_pieces import Ground

BRIEF = 0.5  # seconds


def rehearsed(ground: Ground, stage: str, out: str, *changes: str):
    settings = ground.settings(stage, out, "iterations=1000", "data.workers=1", *changes)
    forecast = rehearse(stage, settings, device="cpu", seconds=BRIEF)
    return forecast, ground.root / out / "rehearsal", settings


@pytest.mark.parametrize("stage", STAGES)
def test_every_part_of_a_stage_is_tried(ground, stage):
    forecast, _, settings = rehearsed(ground, stage, f"rehearsed-{stage}")

    parts = forecast.seconds
    assert all(seconds > 0 for seconds in parts.values())
    assert {"data", "step", "validation", "checkpoint", "export"} <= parts.keys()
    terms = {name.partition("gradient of ")[2] for name in parts if "gradient of" in name}
    forwards = [name for name in parts if name.endswith(": forward")]
    trained = STAGES[stage].build(settings, [])
    assert terms == set(trained.weights())
    assert forwards == [f"{phase.name}: forward" for phase in trained.phases]
    assert forecast.steps >= 2
    assert forecast.hours * 3600 >= 1000 * parts["step"]
    assert 0 < forecast.memory_bytes < forecast.memory_of_bytes
    assert forecast.worker_bytes > 0
    assert forecast.disk_bytes == 11 * forecast.checkpoint_bytes > 0


def test_what_is_left_is_a_sheet_of_pairs_and_the_forecast(ground):
    forecast, folder, _ = rehearsed(ground, "teacher", "left")

    assert json.loads((folder / "forecast.json").read_text())["hours"] == forecast.hours
    sheet = read_picture(folder / "pairs.png").samples
    assert sheet.shape == (2 * 64, 4 * 64, 3)
    assert not (folder / "checkpoints").exists()
    assert not (folder / "model.safetensors").exists()


def test_validation_is_tried_where_there_is_any(ground):
    changes = [f"data.validation={ground.root / 'pictures'}", "validate_every=10"]
    settings = ground.settings("teacher", "validated", "iterations=1000", *changes)
    settings = replace(settings, start=str(ground.root / "lite_codec.safetensors"))

    class Counting(STAGES["teacher"].build):
        """The teacher's stage without metrics, which need weights."""

        def validate(self, averaged, folder):
            folder.mkdir(parents=True)
            return {self.best_by: 1.0}

    with pytest.MonkeyPatch.context() as patch:
        spec = replace(STAGES["teacher"], build=Counting, takes_pairs=False)
        patch.setitem(STAGES, "teacher", spec)
        forecast = rehearse("teacher", settings, device="cpu", seconds=BRIEF)

    assert forecast.seconds["validation"] > 0
    rehearsal = ground.root / "validated" / "rehearsal"
    assert len(list((rehearsal / "samples").iterdir())) == 1
    assert not list(rehearsal.glob("*.safetensors"))


def test_with_micro_batches_one_is_rehearsed_and_the_step_counts_them_all(ground):
    forecast, _, _ = rehearsed(ground, "teacher", "micro", "batch=64", "micro_batch=2")

    assert forecast.batch == 2
    part = forecast.seconds["teacher: forward"]
    assert forecast.seconds["step"] > 16 * part


def test_a_run_in_the_same_folder_stays_as_it_is(ground):
    run = ground.train("teacher", "there-already")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    rehearsed(ground, "teacher", "there-already")

    assert {path: path.read_bytes() for path in before} == before


def test_contradictions_are_the_same_sentence_as_in_training(ground):
    with pytest.raises(SettingsError, match=r"data\.scale is 2, the networks enlarge by 4"):
        rehearsed(ground, "teacher", "wrong", "data.scale=2")
    with pytest.raises(SettingsError, match="out: a run needs a folder"):
        rehearsed(ground, "teacher", "wrong", "out=''")


def test_lines_say_what_a_person_decides_by(ground):
    forecast, _, _ = rehearsed(ground, "teacher", "said")
    example = replace(
        forecast, hours=3.1, memory_bytes=3 * 2**30, memory_of_bytes=2**34, worker_bytes=2**29
    )

    lines = {line[:40].strip(): line[42:] for line in example.lines()}

    assert lines["the whole run"] == "3 h 06 min"
    assert lines["memory"] == "3.0 GiB of 16.0 GiB, and 512.0 MiB a worker"
    assert lines["step"].endswith(" s")
