import json

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from hfdiff.cli.features import features
from hfdiff.cli.info import info
from hfdiff.core.errors import CheckpointError, SettingsError
from hfdiff.model.extractor_file import save_extractor
from hfdiff.model.find import find_model
from hfdiff.model.model_file import ModelCard
from hfdiff.nn.extractor import Extractor, ExtractorConfig
from hfdiff.nn.invertible import InvertibleConfig
from support import fill_by_recipe


@pytest.fixture
def files(tmp_path):
    config = ExtractorConfig(invertible=InvertibleConfig(width=8, modules=2))
    card = ModelCard(name="small H", licence="Apache-2.0")
    save_extractor(tmp_path / "h.safetensors", fill_by_recipe(Extractor(config)), card)
    Image.effect_noise((70, 50), 60).convert("RGB").save(tmp_path / "photo.png")
    return tmp_path


def run(files, *options, model="h.safetensors"):
    app = typer.Typer()
    app.command()(features)
    fixed = [files / "photo.png", "-m", files / model, "-o", files / "sheet.png", "-g", "cpu"]
    return CliRunner().invoke(app, [str(argument) for argument in (*fixed, *options)])


def test_the_sheet_is_a_picture_of_the_middle_and_its_maps(files):
    result = run(files, "--side", 32, "--channels", 3, "--columns", 2)

    assert result.exit_code == 0
    assert "3 of 8 maps of 32x32 pixels at (19, 9)" in result.stdout
    with Image.open(files / "sheet.png") as sheet:
        assert sheet.size == (2 * 36 + 4, 2 * 50 + 4)


def test_the_whole_picture_and_all_maps_are_shown_when_asked_for(files):
    result = run(files, "--side", 0, "--channels", 0)

    assert "8 of 8 maps of 70x50 pixels at (0, 0)" in result.stdout


def test_a_sheet_that_exists_is_left_alone_unless_told(files):
    (files / "sheet.png").write_text("precious")

    refused = run(files)
    assert isinstance(refused.exception, SettingsError)
    assert (files / "sheet.png").read_text() == "precious"

    assert run(files, "--overwrite").exit_code == 0


def test_a_sheet_that_is_no_png_is_refused_before_the_work(files):
    result = run(files, "-o", files / "sheet.jpg")

    assert "must end in .png" in str(result.exception)


def test_a_model_that_is_no_extractor_is_refused(files):
    result = run(files, model=find_model("identity"))

    assert isinstance(result.exception, CheckpointError)
    assert "must hold a feature extractor" in str(result.exception)


def test_info_describes_an_extractor(files):
    app = typer.Typer()
    app.command()(info)

    result = CliRunner().invoke(app, [str(files / "h.safetensors"), "--json"])

    facts = json.loads(result.stdout)
    assert facts["kind"] == "extractor"
    assert facts["modules"] == "2 of width 8, maps two_layer"
    assert facts["licence"] == "Apache-2.0"
