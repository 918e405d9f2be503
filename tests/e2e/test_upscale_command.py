"""`hfdiff upscale` as users run it: the installed command, files and folders."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.e2e
HFDIFF = Path(sys.executable).with_name("hfdiff")
# These tests are about files, and run with the model that costs nothing.
IDENTITY = ("--model", "identity")


def run(*arguments, stdin=None, cwd=None, expect=0):
    """Run the installed command; fails on a traceback or another exit code."""
    names_model = {"-m", "--model", "-n"} & set(map(str, arguments))
    model = IDENTITY if arguments[0] == "upscale" and not names_model else ()
    command = [str(HFDIFF), *map(str, arguments), *model]
    done = subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, check=False)
    error = done.stderr.decode()
    assert "Traceback" not in error, error
    assert done.returncode == expect, error
    return done


def picture(path, width=40, height=30, mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    samples = rng.integers(0, 256, (height, width, *channels), dtype=np.uint8)
    Image.fromarray(samples).save(path, **options)
    return path


def listed(folder):
    """Names of what people see in a folder."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def records(done):
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def test_without_a_name_the_trained_model_in_the_box_is_used(tmp_path):
    picture(tmp_path / "a.png")

    run("upscale", "a.png", "-o", "named", "--model", "lite", cwd=tmp_path)
    subprocess.run([HFDIFF, "upscale", "a.png", "-o", "plain"], cwd=tmp_path, check=True)
    run("upscale", "a.png", "-o", "kernel", "--model", "identity", cwd=tmp_path)

    named, plain, kernel = (
        np.asarray(Image.open(tmp_path / folder / "a.png"))
        for folder in ("named", "plain", "kernel")
    )
    assert np.array_equal(named, plain)
    assert not np.array_equal(named, kernel)


def test_one_picture_beside_its_source(tmp_path):
    source = picture(tmp_path / "holiday.jpg")

    done = run("upscale", source)

    assert "40x30 -> 160x120" in done.stdout.decode()
    with Image.open(tmp_path / "holiday_x4.jpg") as better:
        assert (better.format, better.size) == ("JPEG", (160, 120))


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.webp", "WEBP"), ("a.tif", "TIFF")]
)
def test_the_format_stays(tmp_path, name, kind):
    picture(tmp_path / name)

    run("upscale", tmp_path / name, "-o", tmp_path / "out")

    with Image.open(tmp_path / "out" / name) as better:
        assert (better.format, better.size) == (kind, (160, 120))


def test_a_folder_is_mirrored_and_what_is_no_picture_is_counted(tmp_path):
    photos = tmp_path / "Fotos Mäx"
    picture(photos / "a b.png")
    picture(photos / "2024" / "#1,(x)&'y.jpg")
    (photos / "Thumbs.db").write_bytes(b"x")
    (photos / ".DS_Store").write_bytes(b"x")
    (photos / "broken.png").write_text("no picture")

    done = run("upscale", photos, "-o", tmp_path / "out", expect=1)

    assert (tmp_path / "out" / "a b.png").exists()
    assert (tmp_path / "out" / "2024" / "#1,(x)&'y.jpg").exists()
    assert "failed: " in done.stderr.decode()
    assert "broken.png: not a picture in a format that hfdiff reads" in done.stderr.decode()
    assert "1 file is no picture: passed over" in done.stderr.decode()


def test_not_recursive(tmp_path):
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "deep" / "b.png")

    run("upscale", tmp_path / "in", "-o", tmp_path / "out", "--no-recursive")

    assert [p.name for p in (tmp_path / "out").rglob("*.png")] == ["a.png"]


def test_an_output_folder_inside_the_input_does_not_feed_itself(tmp_path):
    picture(tmp_path / "a.png")
    for _ in range(2):
        run("upscale", tmp_path, "-o", tmp_path / "out", "--overwrite")

    assert len(list(tmp_path.rglob("*.png"))) == 2


def test_two_inputs_with_one_output_name_both_keep_their_extension(tmp_path):
    """users 6.5.2: decided from all inputs, whatever their order."""
    picture(tmp_path / "in" / "1.png")
    picture(tmp_path / "in" / "1.jpg")
    picture(tmp_path / "in" / "2.jpg")

    run("upscale", tmp_path / "in", "-o", tmp_path / "out", "--format", "png")

    names = listed(tmp_path / "out")
    assert names == ["1.jpg.png", "1.png.png", "2.png"]


def test_an_existing_output_is_left_alone_and_overwritten_when_told(tmp_path):
    source = picture(tmp_path / "a.png")
    target = tmp_path / "out" / "a.png"
    run("upscale", source, "-o", tmp_path / "out")
    target.write_bytes(b"mine")

    done = run("upscale", source, "-o", tmp_path / "out", "--json", expect=1)

    assert records(done)[0]["status"] == "exists"
    assert target.read_bytes() == b"mine"
    quiet = run("upscale", source, "-o", tmp_path / "out", "--quiet", expect=1)
    assert quiet.stderr.decode() == f"exists: {target}\n"
    run("upscale", source, "-o", tmp_path / "out", "--overwrite")
    assert target.read_bytes() != b"mine"


def test_outputs_beside_their_sources_are_not_enlarged_again(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "plan_x4.png")  # no output: there is no plan.png

    run("upscale", tmp_path)
    again = run("upscale", tmp_path, "--overwrite")

    assert "\n2 outputs of earlier runs were passed over\n" in again.stderr.decode()
    assert "no pictures" not in again.stderr.decode()
    names = listed(tmp_path)
    assert names == ["a.png", "a_x4.png", "plan_x4.png", "plan_x4_x4.png"]


def test_a_named_file_that_cannot_hold_alpha_gets_a_name_that_can(tmp_path):
    source = picture(tmp_path / "a.png", mode="RGBA")

    run("upscale", source, "-o", tmp_path / "b.jpg")

    assert listed(tmp_path) == ["a.png", "b.png"]


def test_more_than_16_times_is_refused_by_size_too(tmp_path):
    picture(tmp_path / "a.png")

    done = run("upscale", "a.png", "--size", "9000x9000", cwd=tmp_path, expect=1)

    assert "9000x9000 is more than 16 times the input 40x30" in done.stderr.decode()


def test_json_has_one_object_a_picture(tmp_path):
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"")

    done = run("upscale", tmp_path / "in", "-o", tmp_path / "out", "--json", expect=1)

    by_name = {Path(record["path"]).name: record for record in records(done)}
    assert by_name["a.png"]["status"] == "done"
    assert by_name["a.png"]["output_width"] == 160
    assert by_name["b.png"]["status"] == "failed"
    assert by_name["b.png"]["reason"]


def test_the_same_bytes_alone_in_a_folder_and_in_any_order(tmp_path):
    """users 6.3.1, 6.5.3."""
    names = ["b.png", "a.png", "c.png"]
    for name in names:
        picture(tmp_path / "in" / name)
    run("upscale", tmp_path / "in", "-o", tmp_path / "folder", "-t", "24", "--overlap", "8")
    paths = [tmp_path / "in" / name for name in names]
    run("upscale", *paths, "-o", tmp_path / "listed", "-t", "24", "--overlap", "8")
    run("upscale", paths[0], "-o", tmp_path / "alone", "-t", "24", "--overlap", "8")

    for name in names:
        bytes_ = (tmp_path / "folder" / name).read_bytes()
        assert bytes_ == (tmp_path / "listed" / name).read_bytes()
    assert (tmp_path / "alone" / "b.png").read_bytes() == (
        tmp_path / "folder" / "b.png"
    ).read_bytes()


def test_standard_input_to_standard_output(tmp_path):
    source = picture(tmp_path / "a.jpg")

    done = run("upscale", "-", "-o", "-", "--format", "png", stdin=source.read_bytes())

    (tmp_path / "b.png").write_bytes(done.stdout)
    with Image.open(tmp_path / "b.png") as better:
        assert (better.format, better.size) == ("PNG", (160, 120))


def test_a_file_to_standard_output_and_standard_input_to_a_file(tmp_path):
    source = picture(tmp_path / "a.png")

    to_stdout = run("upscale", source, "-o", "-")
    run("upscale", "-", "-o", tmp_path / "b.png", stdin=source.read_bytes())

    assert (tmp_path / "b.png").read_bytes() == to_stdout.stdout
    assert listed(tmp_path) == ["a.png", "b.png"]
    both = run("upscale", source, source, "-o", "-", expect=2)
    assert "- stands for one picture" in both.stderr.decode()


def test_a_stream_gets_a_name_that_fits_and_notes(tmp_path):
    source = picture(tmp_path / "rgba.png", mode="RGBA")

    done = run("upscale", "-", "-o", "x.jpg", stdin=source.read_bytes(), cwd=tmp_path)
    piped = run("upscale", source, "-o", "-", "-f", "jpg")

    assert listed(tmp_path) == ["rgba.png", "x.png"]
    assert piped.stdout == (tmp_path / "x.png").read_bytes()
    assert piped.stderr.decode() == "note: JPEG has no transparency: written as PNG\n"
    assert done.stderr.decode() == piped.stderr.decode() + "note: the output is x.png\n"


def test_a_stream_of_16_bits_keeps_them_or_says_so(tmp_path):
    from hfdiff.imaging.files import read_picture, write_picture
    from hfdiff.imaging.picture import Picture

    deep = Picture(samples=np.full((6, 8, 3), 40_001, np.uint16), format="PNG")
    write_picture(deep, tmp_path / "deep.png", "PNG")
    content = (tmp_path / "deep.png").read_bytes()

    run("upscale", "-", "-o", "b.png", stdin=content, cwd=tmp_path)
    rounded = run("upscale", "-", "-o", "b.jpg", stdin=content, cwd=tmp_path)

    assert read_picture(tmp_path / "b.png").samples.dtype == np.uint16
    assert rounded.stderr.decode() == "note: JPEG holds 8 bits a sample: 16 were rounded\n"


def test_a_stream_takes_the_format_of_the_name(tmp_path):
    source = picture(tmp_path / "a.png")

    run("upscale", "-", "-o", tmp_path / "b.jpg", stdin=source.read_bytes())

    with Image.open(tmp_path / "b.jpg") as better:
        assert better.format == "JPEG"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-o", "-", "--json"], 2, "--json does not go with -"),
        (["-o", "-", "--suffix", "_s"], 2, "--suffix does not go with -"),
        (["-o", "."], 2, "- has no name for a file in the folder ."),
        (["-o", "out"], 2, "the name out tells no format"),
        (["-o", "a.png"], 1, "a.png exists"),
    ],
)
def test_what_does_not_go_with_a_stream_is_refused(tmp_path, arguments, code, message):
    content = picture(tmp_path / "a.png").read_bytes()

    done = run("upscale", "-", *arguments, stdin=content, cwd=tmp_path, expect=code)

    assert message in done.stderr.decode()
    assert (done.stdout, (tmp_path / "a.png").read_bytes()) == (b"", content)


def test_a_missing_input_fails_alone(tmp_path):
    picture(tmp_path / "a.png")

    done = run("upscale", "gone.png", "a.png", "-o", "out", cwd=tmp_path, expect=1)

    assert "failed: gone.png: does not exist" in done.stderr.decode()
    assert (tmp_path / "out" / "a.png").exists()


def test_an_empty_folder_is_told_from_work_that_was_done(tmp_path):
    done = run("upscale", tmp_path)

    assert done.stderr.decode() == "nothing to do: no pictures there\n"


def test_names_cannot_write_to_the_terminal(tmp_path):
    picture(tmp_path / "in" / "a\n\x1b[31mfailed: b.png")
    (tmp_path / "in" / "c\n.png").write_text("no picture")

    done = run("upscale", "in", "-o", "out", cwd=tmp_path, expect=1)

    assert len(done.stdout.decode().splitlines()) == 1
    assert "in/a\\n\\x1b[31mfailed: b.png" in done.stdout.decode()
    assert "failed: in/c\\n.png: " in done.stderr.decode()


def test_a_terminal_that_knows_ascii_only_is_served(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    picture(tmp_path / "ü.png")

    done = run("upscale", "ü.png", cwd=tmp_path)

    assert done.stdout.startswith(b"\\xfc.png  40x30 -> ")
    assert (tmp_path / "ü_x4.png").exists()


def test_a_bare_environment_is_served(tmp_path):
    """users 6.4.16: no HOME, the C locale, a dumb terminal, no PATH that leads anywhere."""
    picture(tmp_path / "ü.png")
    bare = {"LANG": "C", "LC_ALL": "C", "TERM": "dumb", "PATH": "/nowhere"}

    done = subprocess.run(
        [str(HFDIFF), "upscale", "ü.png", *IDENTITY],
        cwd=tmp_path,
        env=bare,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ü_x4.png").exists()


def test_a_full_standard_output_is_one_sentence(tmp_path):
    picture(tmp_path / "a.png")
    with Path("/dev/full").open("wb") as full:
        command = [str(HFDIFF), "upscale", "a.png", "-o", "-", *IDENTITY]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, check=False
        )

    assert (done.returncode, done.stderr) == (1, b"error: output: No space left on device\n")


def test_a_full_folder_for_what_goes_to_standard_output_is_named(tmp_path):
    picture(tmp_path / "a.png")

    done = subprocess.run(
        [str(HFDIFF), "upscale", "a.png", "-o", "-", *IDENTITY],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, b"")
    assert f"the output cannot be gathered in {tmp_path}: ".encode() in done.stderr
    assert b"hint: set TMPDIR" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_keeps_what_is_done_and_says_so(tmp_path, number):
    for index in range(40):
        picture(tmp_path / "in" / f"{index:02}.png", width=300, height=300)
    places = [str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    command = [str(HFDIFF), "upscale", *places, *IDENTITY]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # What starts tests in the background may have told them to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    while not list((tmp_path / "out").glob("0*.png")):
        time.sleep(0.05)

    process.send_signal(number)
    if number == signal.SIGHUP:  # a closed terminal sends two
        process.send_signal(number)
    _, error = process.communicate(timeout=30)

    assert process.returncode == 130
    assert b"interrupted; what is done is kept" in error
    assert b"Traceback" not in error
    assert not [path for path in (tmp_path / "out").glob(".*") if path.name != ".hfdiff.jsonl"]
    for path in (tmp_path / "out").glob("*.png"):
        with Image.open(path) as whole:
            whole.load()


def test_what_is_ignored_from_the_start_stays_ignored(tmp_path):
    """A closed terminal under nohup."""
    for index in range(10):
        picture(tmp_path / "in" / f"{index:02}.png", width=300, height=300)
    process = subprocess.Popen(
        [str(HFDIFF), "upscale", "in", "-o", "out", *IDENTITY],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    while not list((tmp_path / "out").glob("0*.png")):
        assert process.poll() is None
        time.sleep(0.01)

    process.send_signal(signal.SIGHUP)

    assert process.wait(timeout=60) == 0
    assert len(listed(tmp_path / "out")) == 10


def test_killed_and_resumed_gives_what_an_undisturbed_run_gives(tmp_path):
    """users 6.4.5 and 6.1.15, in small; scripts/kill_and_resume_folder.py does it at length."""
    for index in range(12):
        picture(tmp_path / "in" / f"{index:02}.png", width=200 + index, height=200)
    run("upscale", "in", "-o", "whole", cwd=tmp_path)
    for goal in (1, 5, 9):
        command = [str(HFDIFF), "upscale", "in", "-o", "out", "--resume", *IDENTITY]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
        while len(list((tmp_path / "out").glob("[01]*.png"))) < goal:
            time.sleep(0.005)
        process.kill()
        process.wait()

    done = run("upscale", "in", "-o", "out", "--resume", cwd=tmp_path)

    assert "kept from an earlier run" in done.stderr.decode()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {path.name for path in (tmp_path / "whole").iterdir()}
    for name in names - {".hfdiff.jsonl"}:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    cut = tmp_path / "out" / "03.png"
    cut.write_bytes(cut.read_bytes()[:5000])
    again = run("upscale", "in", "-o", "out", "--resume", "--json", cwd=tmp_path)
    assert [r["status"] for r in records(again)] == ["kept"] * 3 + ["done"] + ["kept"] * 8


def test_two_processes_on_one_folder_share_the_work(tmp_path):
    """users 6.4.15: nothing is written twice, nothing is missing."""
    for index in range(16):
        picture(tmp_path / "in" / f"{index:02}.png", width=250, height=250)
    command = [str(HFDIFF), "upscale", "in", "-o", "out", "--resume", "--json", *IDENTITY]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, cwd=tmp_path, **pipes) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], said
    lines = [[json.loads(line) for line in out.splitlines()] for out, _ in said]
    made = [record["path"] for each in lines for record in each if record["status"] == "done"]
    assert sorted(made) == [f"in/{index:02}.png" for index in range(16)]
    assert len(listed(tmp_path / "out")) == 16


def test_a_dry_run_writes_nothing_and_says_what_would_be(tmp_path):
    """users 6.4.13; how near the forecast is: scripts/forecast_against_truth.py."""
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_text("no picture")
    Image.new("CMYK", (8, 6)).save(tmp_path / "in" / "c.jpg")

    people = run("upscale", "in", "-o", "out", "--dry-run", cwd=tmp_path, expect=1)
    machines = run("upscale", "in", "-o", "out", "--dry-run", "--json", cwd=tmp_path, expect=1)

    assert not (tmp_path / "out").exists()
    lines = people.stdout.decode().splitlines()
    assert lines[0] == "in/a.png  40x30 -> 160x120  out/a.png"
    assert lines[1] == "in/c.jpg  8x6 -> 32x24  out/c.jpg  (CMYK converted to RGB)"
    assert lines[2].startswith("2 pictures, 0.00 MP -> 0.02 MP, 2 tiles: about ")
    assert "failed: in/b.png: not a picture" in people.stderr.decode()
    *pictures, last = records(machines)
    assert [record["status"] for record in pictures] == ["failed", "planned", "planned"]
    assert last["forecast"]["tiles"] == 2
    assert last["forecast"]["seconds"] > 0


def test_flags_of_other_tools_mean_the_same(tmp_path):
    source = picture(tmp_path / "a.png")

    run(
        *("upscale", "-i", source, "-o", tmp_path / "b.jpg", "-s", "2", "-t", "0"),
        *("-n", "identity", "-g", "-1", "--fp32"),
    )

    with Image.open(tmp_path / "b.jpg") as better:
        assert (better.format, better.size) == ("JPEG", (80, 60))


def test_rotated_pictures_come_out_upright(tmp_path):
    samples = np.zeros((20, 30, 3), np.uint8)
    samples[:, :10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(samples).save(tmp_path / "a.jpg", exif=exif, quality=95)

    run("upscale", tmp_path / "a.jpg", "-o", tmp_path / "out")

    with Image.open(tmp_path / "out" / "a.jpg") as better:
        assert better.size == (80, 120)
        assert better.getexif().get(0x0112, 1) == 1
        upright = np.asarray(better.convert("L"))
    assert upright[:30].mean() > 240
    assert upright[-30:].mean() < 15


def test_metadata_and_profile_travel(tmp_path):
    from PIL import ImageCms

    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0132] = "2024:07:01 12:00:00"
    source = picture(tmp_path / "a.jpg", icc_profile=icc, exif=exif, dpi=(300, 300))

    for name in ("b.jpg", "b.png"):
        run("upscale", source, "-o", tmp_path / name)
        with Image.open(tmp_path / name) as better:
            assert better.info["icc_profile"] == icc
            assert better.getexif()[0x0132] == "2024:07:01 12:00:00"
            assert round(better.info["dpi"][0]) == 300


def test_limits_of_formats_are_met_before_anything_is_computed(tmp_path):
    """users 6.1.12."""
    wide = picture(tmp_path / "in" / "wide.png", width=5000, height=4)
    picture(tmp_path / "in" / "small.png")

    done = run("upscale", wide.parent, "-o", tmp_path / "out", "-f", "webp", expect=1)

    assert "WEBP holds at most 16383 pixels a side" in done.stderr.decode()
    assert listed(tmp_path / "out") == ["small.webp"]


def test_alpha_forces_a_format_that_can_hold_it_and_says_so(tmp_path):
    source = picture(tmp_path / "a.png", mode="RGBA")

    done = run("upscale", source, "-o", tmp_path / "out", "-f", "jpg")

    assert "written as PNG" in done.stdout.decode()
    with Image.open(tmp_path / "out" / "a.png") as better:
        assert better.mode == "RGBA"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["upscale"], 2, "no input given"),
        (["upscale", "nowhere.png"], 1, "nowhere.png: does not exist"),
        (["upscale", "a.png", "--suffix", "../x"], 2, "a suffix is a part of a name"),
        (["upscale", "a.png", "-o", "y.xyz"], 2, "the name y.xyz tells no format"),
        (["upscale", "a.png", "--scale", "99"], 2, "scale must lie in 1..16"),
        (["upscale", "a.png", "--scale", "2", "--size", "9x9"], 2, "exclude each other"),
        (["upscale", "a.png", "--size", "big"], 2, "size is WIDTHxHEIGHT"),
        (["upscale", "a.png", "--tile", "-3"], 2, "tile must be at least 0"),
        (["upscale", "a.png", "--tile", "7"], 2, "a tile of 7 pixels is too small"),
        (["upscale", "a.png", "--tile", "7", "--dry-run"], 2, "a tile of 7 pixels is too small"),
        (["upscale", "a.png", "-o", "y.jpg", "-f", "png"], 2, "y.jpg does not say PNG"),
        (["upscale", "a.png", "--steps", "4"], 2, "one step only"),
        (["upscale", "a.png", "--device", "abacus"], 2, "'abacus' is no device"),
        (["upscale", "a.png", "--format", "doc"], 2, "format must be one of auto, png"),
        (["upscale", "a.png", "--model", "nothing"], 3, "no model 'nothing'"),
        (["upscale", "a.png", "--model", "a.png"], 3, "not a whole .safetensors file"),
        (["upscale", "a.png", "a2.png", "-o", "one.png"], 2, "cannot become the one file"),
        (["upscale", "a.png", "-o", "a.png"], 1, "would replace its source"),
    ],
)
def test_wrong_use_is_one_sentence_and_an_exit_code(tmp_path, arguments, code, message):
    picture(tmp_path / "a.png")
    picture(tmp_path / "a2.png")

    done = run(*arguments, cwd=tmp_path, expect=code)

    assert message in done.stderr.decode()
    assert listed(tmp_path) == ["a.png", "a2.png"]


def test_what_an_option_is_set_to_may_be_there_already(tmp_path):
    picture(tmp_path / "a.png")

    run("upscale", "a.png", "-o", "-out/", cwd=tmp_path)
    run("upscale", "a.png", "-o", "-out/", "--resume", cwd=tmp_path)

    assert listed(tmp_path / "-out") == ["a.png"]


@pytest.mark.parametrize("name", ["-minus.png", "-q", "--overwrite"])
def test_a_file_that_looks_like_options_is_not_taken_for_them(tmp_path, name):
    """As a pattern of the shell gives it."""
    picture(tmp_path / name, format="PNG")

    done = run("upscale", name, "-o", "out", cwd=tmp_path, expect=2)
    run("upscale", "-o", "out", *IDENTITY, "--", name, cwd=tmp_path)
    run("upscale", f"./{name}", "-o", "other/", cwd=tmp_path)

    error = done.stderr.decode()
    assert f"error: {name} is the name of a file here, and would be read as options" in error
    assert f"hint: write ./{name}, or put -- before the names" in error
    assert listed(tmp_path / "other") == [name if "." in name else f"{name}.png"]


def test_a_hub_id_offline_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HFDIFF_OFFLINE", "1")
    picture(tmp_path / "a.png")

    done = run("upscale", "a.png", "-m", "someone/model", cwd=tmp_path, expect=3)

    assert "HFDIFF_OFFLINE=1 forbids the network" in done.stderr.decode()


def test_realset65_comes_out_whole(tmp_path):
    """Every output opens and is exactly four times its input."""
    from support import shared

    folder = shared("data/eval/RealSet65")
    shutil.copytree(folder, tmp_path / "in")

    done = run("upscale", tmp_path / "in", "-o", tmp_path / "out", "--json", "-t", "0")

    assert len(records(done)) == 65
    assert len(listed(tmp_path / "out")) == 65
    for record in records(done):
        with Image.open(record["path"]) as lq, Image.open(record["output"]) as sr:
            sr.load()
            assert sr.size == (4 * lq.width, 4 * lq.height)
