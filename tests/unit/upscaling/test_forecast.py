"""A dry run: what would be made, and what it would take, without weights and without writing."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hfdiff.model import model_file
from hfdiff.upscaling.forecast import forecast
from hfdiff.upscaling.ledger import LEDGER_NAME
from hfdiff.upscaling.options import Naming, UpscaleOptions, Writing
from hfdiff.upscaling.plan import plan_work
from hfdiff.upscaling.run import planned, run_plan
from small_models import CARD, small_model

OPTIONS = UpscaleOptions(tile=64, overlap=8)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number, (width, height) in enumerate([(300, 200), (40, 30), (90, 120), (200, 200)]):
        samples = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(samples).save(f"in/{number}.{'png' if number % 2 else 'jpg'}")


def plan(options=OPTIONS, **naming):
    return plan_work(["in"], Naming(output=Path("out"), **naming), options, model_scale=4)


def foreseen(description, made, options=OPTIONS):
    return forecast(
        made.jobs,
        description,
        options,
        device="cpu",
        dtype="float32",
        writing=Writing(),
        began=time.monotonic(),
    )


def test_pixels_and_tiles_are_counted_exactly(identity):
    made = plan()

    found = foreseen(identity.description, made)

    records = list(run_plan(made, identity, OPTIONS))
    assert found.pictures == 4
    assert found.tiles == sum(record.tiles for record in records)
    assert found.megapixels_in == pytest.approx(0.112, abs=1e-6)
    assert found.megapixels_out == pytest.approx(16 * 0.112, abs=1e-6)
    assert (found.device, found.dtype) == ("cpu", "float32")


def test_time_and_memory_are_of_the_right_size(identity):
    """Roughly, beside whatever else runs; scripts/forecast_against_truth.py measures."""
    made = plan()
    found = foreseen(identity.description, made)

    begin = time.monotonic()
    list(run_plan(made, identity, OPTIONS))
    seconds = time.monotonic() - begin

    assert seconds / 4 < found.seconds < seconds * 4
    assert 100e6 < found.peak_memory_bytes < 4e9


def test_nothing_is_written_and_no_weights_are_read(tmp_path, monkeypatch):
    path = tmp_path / "small.safetensors"
    model_file.save_model(path, small_model("lite student"), CARD)
    description = model_file.describe(path)
    path.unlink()
    before = sorted(Path().rglob("*"))

    found = foreseen(description, plan())

    assert found.seconds > 0
    assert sorted(Path().rglob("*")) == before


def test_copies_cost_no_tiles(identity):
    options = UpscaleOptions(min_size=(150, None), tile=64, overlap=8)

    found = foreseen(identity.description, plan(options), options)

    assert found.pictures == 4
    assert found.tiles == sum(record.tiles for record in run_plan(plan(options), identity, options))


def test_a_picture_that_breaks_behind_its_header_does_not_stop_it(identity):
    content = Path("in/1.png").read_bytes()
    Path("in/1.png").write_bytes(content[: len(content) // 2])

    assert foreseen(identity.description, plan()).pictures == 4


def test_what_an_earlier_run_made_is_foreseen(identity):
    list(run_plan(plan(), identity, OPTIONS))
    Path("out/1.png").unlink()
    Image.new("RGB", (9, 9)).save("out/3.png")

    found = {
        record.path.name: record.status
        for _, record in planned(
            plan(resume=True), identity.description, "float32", OPTIONS, Writing()
        )
    }

    assert found == {"0.jpg": "kept", "1.png": "planned", "2.jpg": "kept", "3.png": "exists"}


def test_without_a_ledger_what_is_there_is_of_others_and_none_is_made(identity):
    Path("out").mkdir()
    Image.new("RGB", (9, 9)).save("out/3.png")
    made = plan(resume=True)

    rows = planned(made, identity.description, "float32", OPTIONS, Writing())

    assert {record.path.name: record.status for _, record in rows}["3.png"] == "exists"
    assert not Path("out", LEDGER_NAME).exists()
