import json

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from hfdiff.cli.evaluate import evaluate
from hfdiff.core.errors import SettingsError


@pytest.fixture
def folders(tmp_path):
    for kind, level in (("sr", 100), ("gt", 101)):
        (tmp_path / kind).mkdir()
        Image.new("RGB", (16, 16), (level, level, level)).save(tmp_path / kind / "a.png")
    return tmp_path / "sr", tmp_path / "gt"


def run(*arguments):
    app = typer.Typer()
    app.command()(evaluate)
    names = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, [*names, "--metrics", "psnr_y,ssim_y", "--device", "cpu"])


def test_the_table_goes_to_stdout(folders):
    sr, gt = folders

    result = run(sr, "--gt", gt)

    assert result.exit_code == 0
    assert "PSNR-Y  higher  49.453" in result.stdout


def test_json_is_one_object_on_stdout(folders):
    sr, gt = folders

    result = run(sr, "--gt", gt, "--json")

    content = json.loads(result.stdout)
    assert content["pictures"][0]["values"]["psnr_y"] == pytest.approx(49.4530, abs=1e-3)


def test_a_failed_picture_makes_exit_code_1_and_the_rest_is_reported(folders):
    sr, gt = folders
    for folder in folders:
        (folder / "b.png").write_bytes(b"no picture")

    result = run(sr, "--gt", gt)

    assert result.exit_code == 1
    assert "failed: b.png: not a picture" in result.stdout
    assert "1 of 2 pictures measured" in result.stdout


def test_csv_is_written_and_not_overwritten_unless_told(folders, tmp_path):
    sr, gt = folders
    target = tmp_path / "values.csv"

    first = run(sr, "--gt", gt, "--csv", target)
    second = run(sr, "--gt", gt, "--csv", target)
    third = run(sr, "--gt", gt, "--csv", target, "--overwrite")

    assert first.exit_code == third.exit_code == 0
    assert target.read_text().startswith("picture,psnr_y,ssim_y,failure")
    assert isinstance(second.exception, SettingsError)
    assert "values.csv exists" in str(second.exception)


def test_a_csv_in_a_folder_that_does_not_exist_is_refused_before_the_work(folders, tmp_path):
    result = run(folders[0], "--csv", tmp_path / "nowhere" / "values.csv")

    assert isinstance(result.exception, SettingsError)
    assert "nowhere for --csv does not exist" in str(result.exception)
