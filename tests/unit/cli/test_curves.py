import pytest
from typer.testing import CliRunner

from hfdiff.cli.main import app
from hfdiff.core.errors import SettingsError
from hfdiff.training.log import RunLog


@pytest.fixture
def run(tmp_path):
    RunLog(tmp_path / "metrics.csv", 0).add(1, {"l1": 0.5, "lpips": 0.2})
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(app, ["curves", *map(str, arguments)])


def test_curves_are_written_beside_the_run_or_where_they_are_wanted(run):
    beside, elsewhere = call(run), call(run, "-o", run / "wanted.svg")

    assert beside.output == f"{run / 'curves.svg'}  2 panels\n"
    assert elsewhere.exit_code == 0
    assert (run / "curves.svg").read_bytes() == (run / "wanted.svg").read_bytes()


def test_a_file_is_replaced_only_when_asked(run):
    (run / "curves.svg").write_text("mine")

    refused = call(run)

    assert isinstance(refused.exception, SettingsError)
    assert (run / "curves.svg").read_text() == "mine"
    assert call(run, "--overwrite").exit_code == 0
    assert (run / "curves.svg").read_text().startswith("<svg")


def test_a_folder_that_is_not_there_is_named(run):
    result = call(run, "-o", run / "nowhere" / "curves.svg")

    assert "nowhere does not exist" in str(result.exception)
