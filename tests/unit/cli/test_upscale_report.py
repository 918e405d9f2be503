"""What `upscale` says besides its results: the bar, and the exit code of a model it cannot get."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hfdiff.cli.main import app, exit_code
from hfdiff.cli.upscale_report import Report
from hfdiff.core.errors import CheckpointError
from hfdiff.upscaling.names import Job
from hfdiff.upscaling.plan import Plan
from hfdiff.upscaling.records import Record
from hfdiff.upscaling.search import Refusal


def test_every_record_moves_the_bar_whatever_became_of_it(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    jobs = tuple(
        Job(source=Path(name), target=Path("out") / name, format="PNG") for name in ("b", "c")
    )
    refusals = (Refusal(source=Path("a"), reason="broken"),)
    report = Report(as_json=False, quiet=False)
    report.begin("model", Plan(jobs=jobs, refusals=refusals, ignored=0, earlier=0))

    seen = []
    for name, status in (("a", "failed"), ("b", "failed"), ("c", "done")):
        report.add(Record(path=Path(name), output=None, status=status))
        seen.append(report._bar.tasks[0].completed)
    report.end()

    assert seen == [1, 2, 3]
    assert report._bar.tasks[0].total == 3


@pytest.mark.parametrize("inputs", [["a.png"], ["-"]])
def test_a_hub_model_without_the_extra_is_a_model_that_cannot_be_loaded(monkeypatch, inputs):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delenv("HFDIFF_OFFLINE", raising=False)

    result = CliRunner().invoke(app, ["upscale", *inputs, "-m", "someone/model"])

    assert isinstance(result.exception, CheckpointError)
    assert exit_code(result.exception) == 3
    assert result.exception.hint == "pip install 'hfdiff[hub]'"
