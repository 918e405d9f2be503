"""``hfdiff degrade`` in a temporary folder: outputs, records, replays, failures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from hfdiff.cli.degrade import degrade

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def app():
    commands = typer.Typer()
    commands.command()(degrade)
    return commands


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "gt"
    (folder / "deep").mkdir(parents=True)
    draw = np.random.default_rng(0)
    for name, width, height in (("a.png", 96, 80), ("deep/b.png", 99, 82), ("c.jpg", 80, 96)):
        coarse = draw.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height)).save(folder / name)
    return folder


def run(app, *arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def files(folder: Path):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.png"))
    }


def test_a_folder_is_mirrored_as_png_with_one_record_a_picture(app, photographs, tmp_path):
    out = tmp_path / "lq"

    result = run(app, photographs, "-o", out)

    assert result.exit_code == 0, result.output
    assert set(files(out)) == {"a.png", "c.png", "deep/b.png"}
    with Image.open(out / "a.png") as lq:
        assert (lq.size, lq.mode) == ((24, 20), "RGB")
    records = [json.loads(line) for line in (out / "degradation.jsonl").read_text().splitlines()]
    assert {record["picture"] for record in records} == {"a", "c", "deep/b"}
    assert {(record["preset"], record["seed"]) for record in records} == {("training", 0)}
    assert "96x80 -> 24x20" in result.stdout


def test_gt_that_the_scale_does_not_divide_is_cut_and_said(app, photographs, tmp_path):
    result = run(app, photographs / "deep", "-o", tmp_path / "lq", "--scale", 3)

    assert result.exit_code == 0
    assert "99x81 -> 33x27" in result.stdout
    assert "gt cut from 99x82" in result.stdout


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(app, photographs, tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        run(app, photographs, "-o", tmp_path / name, "--seed", seed, "--preset", "mixed")

    assert files(tmp_path / "one") == files(tmp_path / "again")
    one, other = files(tmp_path / "one"), files(tmp_path / "other")
    assert all(one[name] != other[name] for name in one)


def test_a_picture_does_not_depend_on_what_else_is_degraded(app, photographs, tmp_path):
    run(app, photographs, "-o", tmp_path / "all")
    run(app, photographs / "a.png", "-o", tmp_path / "alone")
    run(app, photographs / "a.png", "-o", tmp_path / "named.png")

    assert files(tmp_path / "alone")["a.png"] == files(tmp_path / "all")["a.png"]
    assert (tmp_path / "named.png").read_bytes() == files(tmp_path / "all")["a.png"]
    assert (tmp_path / "named.jsonl").exists()


def test_a_record_is_replayed_to_the_byte(app, photographs, tmp_path):
    record = tmp_path / "drawn.jsonl"
    run(app, photographs, "-o", tmp_path / "lq", "--seed", 5, "--params", record)

    result = run(app, photographs, "-o", tmp_path / "again", "--replay", record)

    assert result.exit_code == 0, result.output
    assert files(tmp_path / "again") == files(tmp_path / "lq")
    assert (tmp_path / "again" / "degradation.jsonl").read_bytes() == record.read_bytes()


def test_a_picture_that_is_missing_in_the_record_fails_and_the_rest_is_done(
    app, photographs, tmp_path
):
    record = tmp_path / "drawn.jsonl"
    run(app, photographs / "a.png", "-o", tmp_path / "lq", "--params", record)

    result = run(app, photographs, "-o", tmp_path / "again", "--replay", record)

    assert result.exit_code == 1
    assert set(files(tmp_path / "again")) == {"a.png"}
    assert "has no decisions for deep/b" in result.stderr


def test_an_output_that_exists_is_left_alone_and_keeps_its_record(app, photographs, tmp_path):
    out = tmp_path / "lq"
    run(app, photographs / "a.png", "-o", out, "--seed", 1)
    before = files(out)["a.png"]

    result = run(app, photographs, "-o", out, "--seed", 2)

    assert result.exit_code == 1
    assert files(out)["a.png"] == before
    seeds = {
        record["picture"]: record["seed"]
        for record in map(json.loads, (out / "degradation.jsonl").read_text().splitlines())
    }
    assert seeds == {"a": 1, "c": 2, "deep/b": 2}
    assert run(app, photographs, "-o", out, "--seed", 2, "--overwrite").exit_code == 0
    assert files(out)["a.png"] != before


def test_grey_and_transparent_gt_become_rgb(app, tmp_path):
    Image.new("L", (64, 64), 90).save(tmp_path / "grey.png")
    Image.new("RGBA", (64, 64), (10, 200, 30, 128)).save(tmp_path / "clear.png")

    result = run(app, tmp_path / "grey.png", tmp_path / "clear.png", "-o", tmp_path / "lq")

    assert result.exit_code == 0, result.output
    assert "transparency dropped" in result.stdout
    for name in ("grey", "clear"):
        with Image.open(tmp_path / "lq" / f"{name}.png") as lq:
            assert lq.mode == "RGB"


def test_a_tiny_or_broken_picture_fails_alone(app, photographs, tmp_path):
    Image.new("RGB", (3, 3)).save(photographs / "tiny.png")
    (photographs / "broken.png").write_bytes(b"no picture")

    result = run(app, photographs, "-o", tmp_path / "lq")

    assert result.exit_code == 1
    assert len(files(tmp_path / "lq")) == 3
    assert "tiny.png: gt must be at least 4 pixels a side, got 3x3" in result.stderr
    assert "broken.png" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "hard"], "no degradation preset 'hard'"),
        (["--replay", "absent.jsonl"], "the record absent.jsonl cannot be read"),
        (["--replay", "absent.jsonl", "--seed", "1"], "--replay repeats a record"),
    ],
)
def test_wrong_use_is_one_sentence(app, photographs, tmp_path, options, message):
    result = run(app, photographs, "-o", tmp_path / "lq", *options)

    assert message in str(result.exception)
    assert not (tmp_path / "lq").exists()


def test_a_file_that_is_no_record_is_named_with_its_line(app, photographs, tmp_path):
    record = tmp_path / "drawn.jsonl"
    record.write_text('{"picture": "a"}\n[]\n')

    result = run(app, photographs, "-o", tmp_path / "lq", "--replay", record)

    assert "line 2: not the record of a degradation" in str(result.exception)


def test_an_output_that_is_no_png_is_refused(app, photographs, tmp_path):
    result = run(app, photographs / "a.png", "-o", tmp_path / "lq.jpg")

    assert "lq is written as PNG" in str(result.exception)


def test_importing_the_command_loads_no_torch():
    code = "import sys, hfdiff.cli.degrade; sys.exit('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], check=False, env=os.environ)

    assert done.returncode == 0
