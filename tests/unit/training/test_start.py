import json
import logging
import shutil

import pytest
import torch

from hfdiff.core.errors import ResourceError
from hfdiff.core.settings import to_yaml
from hfdiff.data.pictures import PictureSet
from hfdiff.model.model_file import describe
from hfdiff.training import start
from hfdiff.training.run import build
from hfdiff.training.settings import RunSettings

CPU = torch.device("cpu")


def test_room_is_compared_with_what_is_free(tmp_path):
    free = shutil.disk_usage(tmp_path).free

    start.check_room(tmp_path, free // 2)
    with pytest.raises(ResourceError, match=r"checkpoints need [0-9]+ MiB below") as caught:
        start.check_room(tmp_path, free * 2)

    assert "make room" in caught.value.hint


def test_the_report_says_networks_terms_and_the_true_batch(ground):
    settings = ground.settings("distill", "report", "batch=8", "micro_batch=3", "terms.con=0")

    lines = list(start.report(build("distill", settings, []), 2))

    assert lines[0].startswith("trains student: 0.0")
    assert lines[0].endswith(" M parameters")
    assert lines[-2] == "terms 1 distill, 0.1 inv, 1 l1, 0.01 adversarial, 1 discriminator"
    assert lines[-1] == "6 steps of 8 samples: 2 process(es) of 4, each in 2 part(s)"


def test_pictures_left_out_are_said_as_warnings_and_the_rest_as_news(ground, caplog):
    pictures = PictureSet([ground.root / "pictures"], least_side=64)
    pictures.skipped[ground.root / "small.png"] = "shorter side below 64 pixels"
    settings = ground.settings("teacher", "said", "data.limit=2")

    with caplog.at_level(logging.INFO):
        start.say_pictures(pictures, settings)

    assert caplog.messages[0].startswith("data: 4 pictures, 0.0 megapixels, shorter sides 96 to 96")
    assert caplog.messages[1].startswith("data: 1 left out: shorter side below 64 pixels (")
    assert caplog.messages[2:] == ["data: limited to 2 of them", "data: each is seen 12.0 times"]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO", "INFO"]


def test_the_environment_of_every_start_is_written_down(tmp_path):
    start.write_environment(tmp_path, 0, RunSettings(), CPU, 1)
    start.write_environment(tmp_path, 20, RunSettings(precision="bfloat16"), CPU, 2)

    first, second = json.loads((tmp_path / start.ENVIRONMENT).read_text())["starts"]

    assert (first["step"], second["step"]) == (0, 20)
    assert first["versions"]["torch"] == torch.__version__
    assert first["threads"] == torch.get_num_threads()
    assert (second["processes"], second["precision"], second["device"]) == (2, "bfloat16", "cpu")
    assert {"python", "platform", "machine", "cores", "time", "git"} <= first.keys()


def test_a_start_file_that_has_changed_since_the_run_began_is_said(tmp_path, caplog):
    """The checkpoint holds the student; teacher and codec are read from the file again."""
    file = tmp_path / "teacher.safetensors"
    file.write_bytes(b"one")
    settings = RunSettings(start=str(file))
    start.write_environment(tmp_path, 0, settings, CPU, 1)
    start.write_environment(tmp_path, 20, settings, CPU, 1)
    assert caplog.messages == []

    file.write_bytes(b"another")
    start.write_environment(tmp_path, 40, settings, CPU, 1)

    assert caplog.messages == ["the file of start has changed since the run began"]


def test_a_fresh_start_forgets_the_environments_of_another_run(tmp_path):
    for _ in range(2):
        start.write_environment(tmp_path, 0, RunSettings(), CPU, 1)

    assert len(json.loads((tmp_path / start.ENVIRONMENT).read_text())["starts"]) == 1


def test_an_unreadable_environment_is_no_reason_not_to_go_on(tmp_path):
    (tmp_path / start.ENVIRONMENT).write_text("{torn")

    start.write_environment(tmp_path, 20, RunSettings(), CPU, 1)

    assert len(json.loads((tmp_path / start.ENVIRONMENT).read_text())["starts"]) == 1


def test_changed_settings_are_named_one_by_one_but_for_the_folder():
    before = to_yaml(RunSettings(out="a", seed=1))

    lines = start.changes(before, RunSettings(out="b", seed=2, batch=8))

    assert lines == ["batch is 8, was 16", "seed is 2, was 1"]


def test_the_card_names_data_steps_and_settings(ground):
    run = ground.train("teacher", "carded")

    (stage,) = describe(run / "model.safetensors").card.training["stages"]

    settings = ground.settings("teacher", "elsewhere")
    assert stage["data"] == ["pictures"]
    assert stage["steps"] == 6
    assert stage["configuration"] == start.configuration_hash(settings)
    other = ground.settings("teacher", "elsewhere", "seed=3")
    assert start.configuration_hash(other) != stage["configuration"]
