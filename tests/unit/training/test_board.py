import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hfdiff.core.errors import MissingExtraError
from hfdiff.training.board import Board
from hfdiff.training.log import RunLog


def shown(folder, name):
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_values_are_shown_under_their_names(tmp_path):
    log = RunLog(tmp_path / "metrics.csv", 0, Board(tmp_path / "tensorboard", 0))

    for step in (1, 2):
        log.add(step, {"l1": step / 4, "student/gradient_norm": 2.0})
    log.close()

    assert shown(tmp_path / "tensorboard", "l1") == [(1, 0.25), (2, 0.5)]
    assert shown(tmp_path / "tensorboard", "student/gradient_norm") == [(1, 2.0), (2, 2.0)]


def test_what_a_resumed_run_does_again_is_shown_once(tmp_path):
    first = Board(tmp_path, 0)
    for step in (1, 2, 3):
        first.add(step, {"l1": float(step)})
    first.close()

    again = Board(tmp_path, 1)
    again.add(2, {"l1": 20.0})
    again.close()

    assert shown(tmp_path, "l1") == [(1, 1.0), (2, 20.0)]


def test_without_the_package_the_way_to_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)

    with pytest.raises(MissingExtraError, match="needs the package tensorboard") as caught:
        Board(tmp_path, 0)

    assert caught.value.hint == "pip install 'hfdiff[train]'"


def test_a_run_writes_event_files_when_asked(ground):
    run = ground.train("teacher", "with-tensorboard", "tensorboard=true", "iterations=3")
    without = ground.train("teacher", "without-tensorboard", "iterations=3")

    assert [step for step, _ in shown(run / "tensorboard", "mse")] == [1, 2, 3]
    assert not (without / "tensorboard").exists()
