"""What was made in a folder is known by its content, whoever made it, and however that ended."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.upscaling.ledger import LEDGER_NAME, Ledger
from hfdiff.upscaling.options import Naming, UpscaleOptions, Writing
from hfdiff.upscaling.plan import plan_work
from hfdiff.upscaling.run import run_plan

OPTIONS = UpscaleOptions(tile=24, overlap=8)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Pictures a, b, c and deep/d in the folder ``in``, which the test stands beside."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a", "b", "c", "deep/d")):
        draw(f"in/{name}.png", number)


def draw(path, seed):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(samples).save(path)


def run(upscaler, options=OPTIONS, *, writing=None, **naming):
    """Status of every input by its name."""
    naming = {"output": Path("out"), "resume": True, **naming}
    plan = plan_work(["in"], Naming(**naming), options, model_scale=4)
    records = run_plan(plan, upscaler, options, writing=writing)
    return {record.path.stem: record.status for record in records}


def every(status):
    return dict.fromkeys("abcd", status)


def test_what_was_made_counts_as_done(identity):
    assert run(identity, resume=False) == every("done")
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.png")}

    assert run(identity) == every("kept")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_folder_may_have_moved_and_its_files_be_copies(identity):
    run(identity)
    for path in Path("out").rglob("*.png"):
        os.utime(path, (1, 1))
    Path("out").rename("elsewhere")

    assert run(identity, output=Path("elsewhere")) == every("kept")


def test_what_is_missing_broken_or_of_another_input_is_made_and_nothing_else(identity):
    """users 6.4.5."""
    run(identity)
    whole = {path: path.read_bytes() for path in Path("out").rglob("*.png")}
    Path("out/a.png").write_bytes(whole[Path("out/a.png")][:-100])
    Path("out/b.png").unlink()
    draw("in/deep/d.png", 9)

    assert run(identity) == {"a": "done", "b": "done", "c": "kept", "d": "done"}
    assert Path("out/a.png").read_bytes() == whole[Path("out/a.png")]
    assert Path("out/deep/d.png").read_bytes() != whole[Path("out/deep/d.png")]
    assert run(identity) == every("kept")


@pytest.mark.parametrize(
    ("options", "writing"),
    [
        (UpscaleOptions(tile=24, overlap=8, seed=1), None),
        (UpscaleOptions(tile=24, overlap=8, scale=3), None),
        (UpscaleOptions(tile=0), None),
        (UpscaleOptions(tile=24, overlap=8, min_size=(100, None)), None),
        (OPTIONS, Writing(strip_metadata=True)),
        (OPTIONS, Writing(provenance=False)),
        (OPTIONS, Writing(quality=80)),
    ],
)
def test_other_options_make_everything_anew(identity, options, writing):
    run(identity)

    assert run(identity, options, writing=writing) == every("done")
    assert run(identity, options, writing=writing) == every("kept")
    assert run(identity) == every("done")


def test_how_many_tiles_are_computed_at_once_makes_nothing_anew(identity):
    run(identity)

    assert run(identity, UpscaleOptions(tile=24, overlap=8, batch=2)) == every("kept")


def test_files_of_others_are_left_alone(identity):
    """Whether they were there before or took the place of ours."""
    Path("out").mkdir()
    draw("out/a.png", 7)
    run(identity)
    draw("out/b.png", 7)
    before = [Path(f"out/{name}.png").read_bytes() for name in "ab"]

    assert run(identity) == {"a": "exists", "b": "exists", "c": "kept", "d": "kept"}
    assert [Path(f"out/{name}.png").read_bytes() for name in "ab"] == before
    assert run(identity, resume=False, overwrite=True) == every("done")


@pytest.mark.parametrize("kind", ["float", "signature", "cut anew"])
def test_what_hfdiff_cannot_read_may_be_somebodys_work(identity, kind):
    """A retouched output in samples that are refused, whatever its length."""
    run(identity)
    target = Path("out/a.png")
    before = target.read_bytes()
    if kind == "float":  # shorter
        Image.fromarray(np.zeros((4, 4), np.float32)).save(target, "TIFF")
    elif kind == "signature":
        target.write_bytes(b"8BPS" + bytes(50))
    else:
        Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(target, "BMP")
        target.write_bytes(target.read_bytes()[:-100])
        assert target.stat().st_size > len(before)
    theirs = target.read_bytes()

    assert run(identity) == {**every("kept"), "a": "exists"}
    assert target.read_bytes() == theirs


@pytest.mark.parametrize("kept", [0, 30, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_the_beginning_of_an_output_is_made_anew(identity, kind, kept):
    """What a full disk leaves, wherever it broke off."""
    run(identity, format=kind)
    (target,) = Path("out").glob("a.*")
    whole = target.read_bytes()
    target.write_bytes(whole[: round(kept * len(whole)) if isinstance(kept, float) else kept])

    assert run(identity, format=kind) == {**every("kept"), "a": "done"}
    assert target.read_bytes() == whole


def test_an_entry_of_before_or_of_nonsense_makes_nothing_anew(identity):
    """Without hashes of beginnings, or with a size that is none."""
    run(identity)
    path, target = Path("out") / LEDGER_NAME, Path("out/a.png")
    target.write_bytes(target.read_bytes()[:-100])
    for change in ({"heads": None}, {"heads": []}, {"heads": {"16": 5}}, {"size": None}):
        lines = [json.loads(line) for line in path.read_text().split("\n") if line]
        path.write_text("".join(f"{json.dumps(line | change)}\n" for line in lines))

        assert run(identity)["a"] == "exists"


def passed_over(*inputs):
    plan = plan_work(inputs, Naming(), OPTIONS, model_scale=4)
    return {str(job.source) for job in plan.jobs}, plan.earlier


SOURCES = {"in/a.png", "in/b.png", "in/c.png", "in/deep/d.png"}


def test_outputs_in_a_folder_below_are_passed_over_but_not_what_others_put_there(identity):
    run(identity, output=Path("in/out"))
    draw("in/out/mine.png", 8)
    draw("in/out/a.png", 9)

    assert passed_over("in") == ({*SOURCES, "in/out/mine.png", "in/out/a.png"}, 3)
    assert passed_over("in", "in/") == ({*SOURCES, "in/out/mine.png", "in/out/a.png"}, 3)


def test_outputs_in_a_folder_that_is_named_are_wanted(identity):
    run(identity, output=Path("in/out"))
    made = {"in/out/a.png", "in/out/b.png", "in/out/c.png", "in/out/deep/d.png"}

    assert passed_over("in/out") == (made, 0)
    assert len(passed_over("in", "in/out")[0]) == 8
    assert passed_over("in", "in/out")[1] == 0
    assert passed_over("in", "in/out/a.png")[1] == 3


NONSENSE = b'\xff\n[]\n{"output": 7}\n{"output": "d.png", "size": "9"}\n' + b"[" * 300_000


@pytest.mark.parametrize("kind", ["nonsense", "pipe", "link", "folder"])
def test_a_ledger_of_somebody_hides_nothing_and_holds_nobody_up(identity, kind):
    path = Path(f"in/deep/{LEDGER_NAME}")
    if kind == "nonsense":
        path.write_bytes(NONSENSE)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()

    assert passed_over("in") == (SOURCES, 0)


def test_a_file_that_came_since_the_plan_is_left_alone(identity):
    plan = plan_work(["in"], Naming(output=Path("out")), OPTIONS, model_scale=4)
    draw("out/a.png", 7)

    records = list(run_plan(plan, identity, OPTIONS))

    assert [record.status for record in records] == ["exists", "done", "done", "done"]


def test_outputs_beside_their_sources_are_remembered_too(identity):
    assert run(identity, output=None) == every("done")
    assert run(identity, output=None) == every("kept")


def test_one_picture_leaves_no_ledger_beside_itself_unless_it_is_wanted(identity):
    for naming in (Naming(), Naming(output=Path("x.png"))):
        plan = plan_work(["in/a.png"], naming, OPTIONS, model_scale=4)
        list(run_plan(plan, identity, OPTIONS))
    assert not list(Path().rglob(LEDGER_NAME))

    plan = plan_work(["in/b.png"], Naming(resume=True), OPTIONS, model_scale=4)
    list(run_plan(plan, identity, OPTIONS))
    assert Path("in", LEDGER_NAME).exists()


def test_a_ledger_with_torn_and_foreign_lines_is_read(identity):
    run(identity)
    ledger = Path("out", LEDGER_NAME)
    text = ledger.read_text()
    ledger.write_text("no JSON\n[1]\n{}\n" + text + '{"output": "a.png", "si')

    assert run(identity) == every("kept")
    Path("out/b.png").unlink()
    assert run(identity) == {**every("kept"), "b": "done"}
    assert run(identity) == every("kept")


def test_killed_between_the_ledger_and_the_name_nothing_is_lost(identity):
    """The line is there, the file still the one of the run before."""
    run(identity)
    other = UpscaleOptions(tile=24, overlap=8, seed=5)
    old = Path("out/a.png").read_bytes()
    run(identity, other)
    Path("out/a.png").write_bytes(old)

    assert run(identity, other) == {**every("kept"), "a": "done"}


def test_half_written_files_of_killed_runs_are_removed(identity):
    Path("out").mkdir()
    stale, own = Path("out/.hfdiff-0123456789abcdef.png"), Path("out/.hfdiff-mine.png")
    for path in (stale, own):
        path.write_bytes(b"half")
        os.utime(path, (1, 1))

    run(identity)

    assert not stale.exists()
    assert own.exists()


def test_a_ledger_that_cannot_be_written_is_said(identity):
    Path("out", LEDGER_NAME).mkdir(parents=True)

    plan = plan_work(["in"], Naming(output=Path("out")), OPTIONS, model_scale=4)
    reasons = {record.reason for record in run_plan(plan, identity, OPTIONS)}

    assert reasons == {f"cannot write out/{LEDGER_NAME}: Is a directory"}


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_ledger_is_a_file_of_its_own(kind):
    Path("out").mkdir()
    if kind == "link":
        Path("out", LEDGER_NAME).symlink_to("../elsewhere")
    else:
        os.mkfifo(Path("out", LEDGER_NAME))

    with pytest.raises(ImageError, match=r"cannot write|no regular file"):
        Ledger(Path("out"))
    assert not Path("elsewhere").exists()


def test_resume_and_overwrite_exclude_each_other():
    with pytest.raises(SettingsError, match="overwrite and resume exclude each other"):
        Naming(overwrite=True, resume=True)


CLAIM = """
import sys, time
from pathlib import Path
from hfdiff.upscaling.ledger import Ledger
ledger = Ledger(Path("out"))
with ledger.claimed(Path("out/a.png"), wait=False) as is_mine:
    print(is_mine, flush=True)
    sys.stdin.readline()
"""


def claiming():
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "True\n"
    return process


def end(process, how):
    getattr(process, how)()
    process.communicate(timeout=30)


def test_what_another_process_is_at_work_on_is_not_claimed_until_it_ends():
    process = claiming()
    ledger = Ledger(Path("out"))

    with ledger.claimed(Path("out/a.png"), wait=False) as is_mine:
        assert not is_mine
    with ledger.claimed(Path("out/b.png"), wait=False) as is_mine:
        assert is_mine
    end(process, "kill")
    with ledger.claimed(Path("out/a.png"), wait=True) as is_mine:
        assert is_mine
    ledger.close()


def test_looking_into_the_ledger_gives_no_claim_away(identity):
    """Closing any descriptor of a file ends a process's locks on it."""
    run(identity)
    ledger = Ledger(Path("out"))
    with ledger.claimed(Path("out/a.png"), wait=False):
        ledger.judge(Path("in/a.png"), Path("out/a.png"), {})
        program = CLAIM.replace("sys.stdin.readline()", "pass")
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
    ledger.close()

    assert done.stdout == "False\n"


def test_what_another_process_is_at_work_on_comes_last(identity):
    process = claiming()
    plan = plan_work(["in"], Naming(output=Path("out")), OPTIONS, model_scale=4)
    records = run_plan(plan, identity, OPTIONS)

    first = [next(records).path.stem for _ in range(3)]
    end(process, "terminate")

    assert first == ["b", "c", "d"]
    assert [record.path.stem for record in records] == ["a"]


def test_the_scratch_of_another_process_is_not_removed(identity):
    process = claiming()
    scratch = Path("out/.hfdiff-0123456789abcdef.png")
    scratch.write_bytes(b"half")
    os.utime(scratch, (time.time() - 60,) * 2)
    for name in "bc":
        Path(f"in/{name}.png").unlink()
    Path("in/a.png").rename("in/e.png")

    run(identity)

    assert scratch.exists()
    end(process, "terminate")


def test_the_lines_say_what_was_made_of_what(identity):
    run(identity)

    lines = [json.loads(line) for line in Path("out", LEDGER_NAME).read_text().split("\n") if line]

    assert [line["output"] for line in lines] == ["a.png", "b.png", "c.png", "deep/d.png"]
    assert lines[0]["made_by"]["model"] == identity.description.content_hash
    assert lines[0]["size"] == Path("out/a.png").stat().st_size
