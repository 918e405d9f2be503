"""A plan is worked off picture by picture: one failing picture never stops the rest."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hfdiff.core.errors import ResourceError
from hfdiff.model.build import build_codec
from hfdiff.model.find import find_model
from hfdiff.model.model_file import load_model
from hfdiff.model.sr_model import SRModel
from hfdiff.upscaling.options import Naming, UpscaleOptions, Writing
from hfdiff.upscaling.plan import plan_work
from hfdiff.upscaling.run import run_plan
from hfdiff.upscaling.upscaler import Upscaler

OPTIONS = UpscaleOptions(tile=24, overlap=8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three pictures a, b, c in the folder ``in``, which the test stands beside."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("in").mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(f"in/{name}.png")
    return tmp_path


def planned(*inputs, **naming):
    return plan_work(inputs or ["in"], Naming(output=Path("out"), **naming), OPTIONS, model_scale=4)


def run(plan, upscaler, **options):
    return {record.path.name: record for record in run_plan(plan, upscaler, OPTIONS, **options)}


def made():
    """Names of the outputs; the ledger beside them is hidden."""
    return sorted(path.name for path in Path("out").iterdir() if not path.name.startswith("."))


class Failing(torch.nn.Module):
    """A denoiser that raises an error at one of its calls, else answers as the identity."""

    def __init__(self, error, at):
        super().__init__()
        self.error, self.left = error, at

    def forward(self, x, t, lq_pm1):
        self.left -= 1
        if self.left == 0:
            raise self.error
        return lq_pm1


def failing(error, at=1):
    _, description = load_model(find_model("identity"))
    model = SRModel(description.config, Failing(error, at), build_codec(description.config))
    return Upscaler(model, description, device="cpu")


def test_every_picture_is_made_and_recorded(folder, identity):
    records = run(planned(), identity)

    assert list(records) == ["a.png", "b.png", "c.png"]
    for name, record in records.items():
        assert record.status == "done"
        assert record.output == Path("out") / name
        assert (record.width, record.height) == (40, 30)
        assert (record.output_width, record.output_height) == (160, 120)
        assert record.tiles == 4
        assert record.seconds > 0
        with Image.open(record.output) as better:
            assert better.size == (160, 120)


def test_records_come_as_pictures_are_finished(folder, identity):
    records = run_plan(planned(), identity, OPTIONS)

    next(records)

    assert made() == ["a.png"]


def test_refusals_come_first_with_their_reason(folder, identity):
    Path("in/z.png").write_text("no picture")
    Path("out").mkdir()
    Path("out/b.png").write_bytes(b"mine")

    records = run(planned(), identity)

    assert list(records) == ["z.png", "b.png", "a.png", "c.png"]
    assert (records["z.png"].status, records["z.png"].output) == ("failed", None)
    assert (records["b.png"].status, records["b.png"].reason) == ("exists", "out/b.png exists")
    assert (records["b.png"].width, records["b.png"].output_height) == (40, 120)
    assert Path("out/b.png").read_bytes() == b"mine"


def test_a_picture_that_broke_since_the_plan_fails_alone(folder, identity):
    plan = planned()
    whole = Path("in/b.png").read_bytes()
    Path("in/b.png").write_bytes(whole[: len(whole) // 2])
    Path("in/c.png").unlink()

    records = run(plan, identity)

    assert [record.status for record in records.values()] == ["done", "failed", "failed"]
    assert records["b.png"].reason.startswith("the picture is broken: ")
    assert records["c.png"].reason == "cannot be read: No such file or directory"
    assert made() == ["a.png"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("tile 3\nof 6"), "RuntimeError: tile 3 of 6"),
        (OSError(28, "no space left"), "cannot write out/b.png: no space left"),
        (ResourceError("no answer", hint="ask again"), "no answer (ask again)"),
    ],
)
def test_a_tile_that_fails_fails_its_picture_and_no_other(folder, error, reason):
    """users 6.5.1: never pixels of tile 2 in the place of 3, never half a picture."""
    records = run(planned(), failing(error, at=7))  # the third tile of the second picture

    assert [record.status for record in records.values()] == ["done", "failed", "done"]
    assert records["b.png"].reason == reason
    assert made() == ["a.png", "c.png"]


def test_an_unexpected_error_is_logged_with_its_origin(folder, caplog):
    with caplog.at_level(logging.DEBUG, logger="hfdiff"):
        run(planned("in/a.png"), failing(RuntimeError("odd")))

    assert "in/a.png failed" in caplog.text
    assert "in forward" in caplog.text


def test_an_output_that_cannot_be_written_fails_alone(folder, identity):
    plan = planned()
    Path("out").mkdir()
    Path("out/b.png").mkdir()

    records = run(plan, identity)

    assert [record.status for record in records.values()] == ["done", "failed", "done"]
    assert records["b.png"].reason.startswith("cannot write out/b.png: ")
    assert list(Path("out/b.png").iterdir()) == []


def test_an_interruption_stops_and_leaves_only_whole_files(folder):
    with pytest.raises(KeyboardInterrupt):
        run(planned(), failing(KeyboardInterrupt(), at=7))

    assert made() == ["a.png"]
    with Image.open("out/a.png") as whole:
        whole.load()


def test_sources_stay_as_they_are(folder, identity):
    before = {path: path.read_bytes() for path in Path("in").iterdir()}

    run(planned(), identity)

    assert {path: path.read_bytes() for path in Path("in").iterdir()} == before


def test_progress_goes_through_the_tiles_of_each_picture(folder, identity):
    seen = []

    run(
        planned(),
        identity,
        on_progress=lambda job, done, all_: seen.append((job.source.name, done, all_)),
    )

    assert seen == [(f"{name}.png", k, 4) for name in "abc" for k in range(1, 5)]


def test_notes_of_plan_and_picture_are_kept(folder, identity):
    Image.new("CMYK", (8, 6)).save("in/ink.jpg")
    Image.new("P", (8, 6)).save("in/old.gif")

    records = run(planned(), identity)

    assert records["ink.jpg"].notes == ("CMYK converted to RGB",)
    assert records["old.gif"].notes == ("GIF is written as PNG",)


def test_quality_reaches_the_file(folder, identity):
    for name, quality in (("low", 30), ("high", 95)):
        run(
            planned("in/a.png", format="JPEG", suffix=f"_{name}"),
            identity,
            writing=Writing(quality=quality),
        )

    low, high = (Path(f"out/a_{name}.jpg").stat().st_size for name in ("low", "high"))
    assert low < high / 2


def test_the_same_picture_gives_the_same_bytes_wherever_it_stands(folder, identity):
    """users 6.3.1: alone, in a folder, and again."""
    run(planned(), identity)
    alone = planned("in/b.png", suffix="_alone")
    run(alone, identity)
    first = Path("out/b.png").read_bytes()

    run(planned(overwrite=True), identity)

    assert Path("out/b_alone.png").read_bytes() == first
    assert Path("out/b.png").read_bytes() == first
