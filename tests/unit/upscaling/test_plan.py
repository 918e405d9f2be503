"""From inputs to outputs: names, clashes, formats, limits, links; nothing is lost silently."""

import itertools
import os
import shutil
import time
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image

from hfdiff.core.errors import SettingsError
from hfdiff.imaging.files import Header
from hfdiff.upscaling.names import choose_format
from hfdiff.upscaling.options import Naming, UpscaleOptions
from hfdiff.upscaling.plan import plan_work


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def picture(path, size=(8, 6), mode="RGB"):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jpg": "JPEG", ".tif": "TIFF"}.get(path.suffix.lower(), path.suffix[1:].upper())
    Image.new(mode, size).save(
        path, kind if kind in ("GIF", "BMP", "WEBP", "JPEG", "TIFF") else "PNG"
    )
    return path


def plan(*inputs, scale=None, size=None, **naming):
    if "output" in naming and naming["output"] is not None:
        naming["output"] = Path(naming["output"])
    options = UpscaleOptions(scale=scale, size=size)
    return plan_work([str(i) for i in inputs], Naming(**naming), options, model_scale=4)


def pairs(made):
    """Source to target, as text."""
    return {str(job.source): str(job.target) for job in made.jobs}


def reasons(made):
    return {str(refusal.source): refusal.reason for refusal in made.refusals}


def test_an_output_lies_beside_its_source_and_says_its_factor():
    picture("a.png")

    assert pairs(plan("a.png")) == {"a.png": "a_x4.png"}
    assert pairs(plan("a.png", scale=2)) == {"a.png": "a_x2.png"}
    assert pairs(plan("a.png", scale=2.5)) == {"a.png": "a_x2.5.png"}
    assert pairs(plan("a.png", size=(60, None))) == {"a.png": "a_60x45.png"}
    assert pairs(plan("a.png", suffix="-big")) == {"a.png": "a-big.png"}


def test_in_another_folder_the_name_stays():
    picture("in/a.png")

    assert pairs(plan("in/a.png", output="out")) == {"in/a.png": "out/a.png"}
    assert pairs(plan("in/a.png", output="in")) == {"in/a.png": "in/a_x4.png"}
    assert pairs(plan("in/a.png", output="out", suffix="_s")) == {"in/a.png": "out/a_s.png"}


def test_one_picture_may_be_given_a_name():
    picture("a.png")

    assert pairs(plan("a.png", output="new/b.jpg")) == {"a.png": "new/b.jpg"}
    assert plan("a.png", output="new/b.jpg").jobs[0].format == "JPEG"
    assert plan("a.png", output="b.JPG", format="JPEG").jobs[0].target == Path("b.JPG")


@pytest.mark.parametrize("name", ["b.JPG", "b.gif"])
def test_a_name_that_says_another_format_than_was_asked_for_is_refused(name):
    """It would be a PNG under that name."""
    picture("a.png")

    with pytest.raises(SettingsError, match=rf"the name {name} does not say PNG") as caught:
        plan("a.png", output=name, format="PNG")

    assert caught.value.hint == "end it in .png, or leave --format out"


def test_folders_are_mirrored():
    for name in ("in/a.png", "in/deep/b.png", "in/deep/er/c.png"):
        picture(name)

    assert pairs(plan("in", output="out")) == {
        "in/a.png": "out/a.png",
        "in/deep/b.png": "out/deep/b.png",
        "in/deep/er/c.png": "out/deep/er/c.png",
    }
    assert pairs(plan("in", output="out", recursive=False)) == {"in/a.png": "out/a.png"}


def test_hidden_files_and_folders_are_passed_over():
    for name in ("in/a.png", "in/.b.png", "in/.git/c.png", "in/.thumbs/d/e.png"):
        picture(name)

    made = plan("in", output="out")

    assert list(pairs(made)) == ["in/a.png"]
    assert made.ignored == 0


def test_what_is_no_picture_by_its_name_is_counted():
    picture("in/a.png")
    for name in ("in/Thumbs.db", "in/notes.txt", "in/noext"):
        Path(name).write_text("x")

    assert plan("in", output="out").ignored == 3


def test_a_file_that_is_named_is_tried_whatever_it_is_called():
    shutil.move(picture("a.png"), "a.dat")

    assert pairs(plan("a.dat")) == {"a.dat": "a_x4.png"}


def test_broken_files_are_refused_and_the_rest_is_planned():
    picture("in/a.png")
    Path("in/b.png").write_text("no picture")
    Path("in/c.png").write_bytes(b"")

    made = plan("in", output="out")

    assert list(pairs(made)) == ["in/a.png"]
    assert reasons(made) == {
        "in/b.png": "not a picture in a format that hfdiff reads",
        "in/c.png": "the file is empty",
    }


@pytest.mark.parametrize(
    ("name", "target", "kind"),
    [
        ("a.PNG", "out/a.PNG", "PNG"),
        ("a.tif", "out/a.tif", "TIFF"),
        ("a.gif", "out/a.png", "PNG"),
        ("a.bmp", "out/a.png", "PNG"),
        ("a.jpg", "out/a.jpg", "JPEG"),
    ],
)
def test_the_format_stays_where_it_can_be_written(name, target, kind):
    picture(name)

    job = plan(name, output="out").jobs[0]

    assert (str(job.target), job.format) == (target, kind)
    assert any("written as PNG" in note for note in job.notes) == (name in ("a.gif", "a.bmp"))


def test_a_png_named_jpg_stays_png_and_gets_its_ending():
    shutil.copy(picture("a.png"), "b.jpg")

    assert pairs(plan("b.jpg", output="out")) == {"b.jpg": "out/b.png"}


def test_transparency_is_not_given_up_for_a_format():
    picture("a.png", mode="RGBA")

    job = plan("a.png", output="out", format="JPEG").jobs[0]

    assert (str(job.target), job.format) == ("out/a.png", "PNG")
    assert job.notes == ("JPEG has no transparency: written as PNG",)


CLASHING = ["in/1.jpg", "in/1.png", "in/1.png.jpg", "in/2.png"]


@pytest.mark.parametrize("order", list(itertools.permutations(CLASHING)))
def test_inputs_of_one_output_name_all_keep_their_extension_in_any_order(order):
    """users 6.5.2; one of the longer names meets a third input here."""
    for name in order:
        picture(name)

    made = plan(*order, output="out", format="PNG")

    assert pairs(made) == {
        "in/1.jpg": "out/1.jpg.png",
        "in/1.png": "out/1.png.png",
        "in/1.png.jpg": "out/1.png.jpg.png",
        "in/2.png": "out/2.png",
    }


def test_the_suffix_stays_last_where_names_are_made_longer():
    picture("1.png")
    picture("1.jpg")

    made = plan("1.png", "1.jpg", output="out", format="PNG", suffix="_s")

    assert sorted(pairs(made).values()) == ["out/1.jpg_s.png", "out/1.png_s.png"]


def test_files_of_one_name_in_two_folders_are_refused_not_lost():
    picture("one/a.png")
    picture("two/a.png")
    picture("two/b.png")

    made = plan("one", "two", output="out")

    assert pairs(made) == {"two/b.png": "out/b.png"}
    assert set(reasons(made)) == {"one/a.png", "two/a.png"}
    assert set(reasons(made).values()) == {
        "2 inputs would become out/a.png.png "
        "(name the folder above them as one input, or give each an -o)"
    }


def test_an_input_that_is_named_twice_is_one_input(tmp_path):
    picture("in/a.png")

    made = plan("in/a.png", "in", "./in/a.png", tmp_path / "in" / "a.png", "in/*", output="out")

    assert list(pairs(made).values()) == ["out/a.png"]


def test_the_order_is_that_of_the_paths_whatever_was_typed_first():
    for name in ("b.png", "a.png", "c/d.png"):
        picture(name)

    assert list(pairs(plan("c", "b.png", "a.png"))) == ["a.png", "b.png", "c/d.png"]


def test_patterns_are_expanded_where_the_shell_did_not():
    for name in ("a1.png", "a2.png", "b.png", "deep/a3.png"):
        picture(name)

    assert list(pairs(plan("a*.png", output="out"))) == ["a1.png", "a2.png"]
    assert "deep/a3.png" in pairs(plan("**/a*.png", output="out"))


def test_names_that_look_like_patterns_are_names_first():
    picture("[a].png")
    picture("a.png")

    assert list(pairs(plan("[a].png"))) == ["[a].png"]


@pytest.mark.parametrize(
    "name", ["#1,(x)&'y.png", "a b.png", "-o.png", "ü.png", "日本.png", "😀.png"]
)
def test_any_name_is_a_name(name):
    picture(f"in/{name}")

    assert pairs(plan("in", output="out")) == {f"in/{name}": f"out/{name}"}


def test_a_name_of_undecodable_bytes_is_a_name():
    picture("in/a.png")
    raw = os.fsdecode(b"in/\xff\xfe.png")
    shutil.copy("in/a.png", raw)

    assert raw in pairs(plan("in", output="out"))


@pytest.mark.parametrize("text", ["gone.png", "x" * 300, "a\0b"])
def test_an_input_that_is_not_there_fails_alone(text):
    picture("a.png")

    made = plan("a.png", text, output="out")

    assert pairs(made) == {"a.png": "out/a.png"}
    assert reasons(made) == {text: "does not exist"}


@pytest.mark.parametrize("suffix", ["../x", "/x", "a/b", "x\0"])
def test_a_suffix_is_no_path(suffix):
    picture("a.png")

    with pytest.raises(SettingsError, match="a suffix is a part of a name and no path"):
        plan("a.png", output="out", suffix=suffix)


def test_a_name_for_one_picture_that_tells_no_format_is_refused():
    picture("in/a.png")
    Path("there.xyz").mkdir()

    with pytest.raises(SettingsError, match=r"the name y\.xyz tells no format") as caught:
        plan("in/a.png", output="y.xyz")
    assert caught.value.hint == (
        "end it in .png or the like for a file, or write y.xyz/ for a folder"
    )
    assert pairs(plan("in/a.png", output="y.xyz", is_folder=True)) == {"in/a.png": "y.xyz/a.png"}
    assert pairs(plan("in/a.png", output="y.png", is_folder=True)) == {"in/a.png": "y.png/a.png"}
    assert pairs(plan("in/a.png", output="there.xyz")) == {"in/a.png": "there.xyz/a.png"}
    assert pairs(plan("in", output="y.xyz")) == {"in/a.png": "y.xyz/a.png"}


@pytest.mark.parametrize("name", ["there", "there.png"])
def test_a_file_where_the_output_folder_should_be_is_refused(name):
    picture("in/a.png")
    Path(name).write_text("mine")

    with pytest.raises(SettingsError, match=f"the output {name} is a file, not a folder"):
        plan("in/a.png", output=name, is_folder=True)

    assert Path(name).read_text() == "mine"


def test_a_file_without_an_ending_is_no_folder_either():
    picture("in/a.png")
    Path("there").write_text("mine")

    with pytest.raises(SettingsError, match="the output there is a file, not a folder"):
        plan("in", output="there")


def test_a_file_in_the_way_to_the_output_is_said():
    picture("in/deep/a.png")
    Path("out").mkdir()
    Path("out/deep").write_text("mine")

    assert reasons(plan("in", output="out")) == {"in/deep/a.png": "out/deep is no folder"}
    assert reasons(plan("in/deep/a.png", output="out/deep/b.png")) == {
        "in/deep/a.png": "out/deep is no folder"
    }


def test_what_is_not_there_is_said_by_what_was_typed():
    Path("link.png").symlink_to("nowhere.png")
    Path("circle.png").symlink_to("circle.png")

    assert reasons(plan("link.png", "circle.png", "*.jpg", "b.png")) == {
        "link.png": "a link to nothing",
        "circle.png": "a link to nothing",
        "*.jpg": "nothing matches",
        "b.png": "does not exist",
    }


def test_an_output_that_is_no_regular_file_is_refused():
    """It would be replaced: `-o /dev/full` as root is the end of that device."""
    picture("in/a.png")
    Path("out").mkdir()
    os.mkfifo("out/a.png")

    made = plan("in", output="out", overwrite=True)

    assert reasons(made) == {"in/a.png": "the output out/a.png is no regular file"}


def test_refusals_say_sizes_where_they_are_known():
    picture("in/a.png", size=(8, 6))
    picture("out/a.png")
    Path("in/b.png").write_text("no picture")

    exists, broken = sorted(plan("in", output="out").refusals, key=lambda one: not one.exists)

    assert (exists.size, exists.target_size) == ((8, 6), (32, 24))
    assert (broken.size, broken.target_size) == ((0, 0), (0, 0))


def test_an_empty_input_is_not_the_current_folder():
    """As from an empty variable of a shell."""
    picture("a.png")

    with pytest.raises(SettingsError, match="an input has no name"):
        plan("")


def test_many_inputs_cannot_become_one_file():
    picture("a.png")
    picture("b.png")

    with pytest.raises(
        SettingsError, match=r"2 inputs cannot become the one file one\.png"
    ) as caught:
        plan("a.png", "b.png", output="one.png")
    assert caught.value.hint == "name a folder by -o"


def test_an_output_named_for_a_format_that_is_not_written_is_refused():
    """It would be a PNG named .gif."""
    picture("a.png")

    with pytest.raises(SettingsError, match=r"format must be one of auto, png, .* got '\.gif'"):
        plan("a.png", output="b.gif")


def test_an_existing_output_is_left_alone_unless_told():
    picture("in/a.png")
    picture("out/a.png")

    left = plan("in/a.png", output="out")
    again = plan("in/a.png", output="out", overwrite=True)

    assert left.jobs == ()
    assert left.refusals[0].exists
    assert left.refusals[0].reason == "out/a.png exists"
    assert pairs(again) == {"in/a.png": "out/a.png"}


@pytest.mark.parametrize("target", ["in/a.png", "link/a.png"])
def test_a_source_is_never_its_own_output(target):
    picture("in/a.png")
    Path("link").symlink_to("in")

    made = plan("in/a.png", output=target, overwrite=True)

    assert made.jobs == ()
    assert reasons(made) == {"in/a.png": "the output would replace its source"}


def test_an_output_that_is_a_folder_is_refused():
    picture("in/a.png")
    Path("out/a.png").mkdir(parents=True)

    assert reasons(plan("in", output="out")) == {"in/a.png": "the output out/a.png is a folder"}


@pytest.mark.parametrize(
    ("kind", "width", "reason"),
    [
        (
            "WEBP",
            5000,
            "WEBP holds at most 16383 pixels a side, the output would be 20000x8 "
            "(use --format png or tiff)",
        ),
        (
            "JPEG",
            20_000,
            "JPEG holds at most 65500 pixels a side, the output would be 80000x8 "
            "(use --format png or tiff)",
        ),
    ],
)
def test_what_a_format_cannot_hold_is_refused_before_any_computing(kind, width, reason):
    """users 6.1.12."""
    picture("wide.png", size=(width, 2))

    assert reasons(plan("wide.png", output="out", format=kind)) == {"wide.png": reason}
    assert len(plan("wide.png", output="out", format="PNG").jobs) == 1


def test_a_name_too_long_for_the_file_system_fails_alone():
    picture("in/" + "n" * 250 + ".png")
    picture("in/a.png")

    made = plan("in")

    assert list(pairs(made)) == ["in/a.png"]
    assert next(iter(reasons(made).values())).endswith("File name too long")


def test_the_output_folder_inside_the_input_is_not_entered():
    picture("in/a.png")
    picture("in/out/b.png")

    assert list(pairs(plan("in", output="in/out"))) == ["in/a.png"]
    assert list(pairs(plan("in", output="other"))) == ["in/a.png", "in/out/b.png"]


def test_links_are_followed_inside_the_folder_only():
    """users 6.4.7: neither loops nor files from elsewhere."""
    picture("in/a.png")
    picture("elsewhere/b.png")
    Path("in/loop").symlink_to("..")
    Path("in/inside.png").symlink_to("a.png")
    Path("in/outside.png").symlink_to("../elsewhere/b.png")
    Path("in/dangling.png").symlink_to("nowhere")
    Path("in/self.png").symlink_to("self.png")

    made = plan("in", output="out")

    assert list(pairs(made)) == ["in/a.png", "in/inside.png"]
    assert made.unfollowed == 1
    assert plan("in", "in/", output="out").unfollowed == 1
    assert reasons(made) == {
        "in/dangling.png": "a link to nothing",
        "in/outside.png": "a link out of in",
        "in/self.png": "a link to nothing",
    }


def test_a_link_that_is_named_is_followed():
    picture("elsewhere/b.png")
    Path("link.png").symlink_to("elsewhere/b.png")
    Path("folder").symlink_to("elsewhere")

    assert pairs(plan("link.png")) == {"link.png": "link_x4.png"}
    assert list(pairs(plan("folder", output="out"))) == ["folder/b.png"]


def test_what_is_no_file_is_refused_and_not_waited_for():
    os.mkfifo("pipe.png")

    made = plan("pipe.png", "/dev/null")

    assert reasons(made) == {"/dev/null": "not a regular file", "pipe.png": "not a regular file"}


def test_a_folder_of_10_000_pictures_is_planned_quickly_in_little_memory():
    """users 6.4.11: under 3 s and 50 MB; measured here on 2,000 so that the test stays quick."""
    first = picture("in/00000.png")
    for number in range(1, 2000):
        os.link(first, f"in/{number:05}.png")
    begin = time.process_time()

    made = plan("in", output="out")

    seconds = time.process_time() - begin
    tracemalloc.start()
    plan("in", output="out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(made.jobs) == 2000
    assert seconds < 3 * 2000 / 10_000
    assert peak < 50e6 * 2000 / 10_000


@pytest.mark.slow
def test_10_000_pictures_at_full_size():
    first = picture("in/00000.png")
    for number in range(1, 10_000):
        os.link(first, f"in/{number:05}.png")
    begin = time.process_time()

    made = plan("in", output="out")

    assert time.process_time() - begin < 3
    assert len(made.jobs) == 10_000


@pytest.mark.parametrize("overwrite", [True, False])
def test_no_output_replaces_another_input(overwrite):
    picture("d/a.png")
    picture("d/a_x4.png")
    Path("link").symlink_to("d")

    made = plan("d/a.png", "link/a_x4.png", overwrite=overwrite)

    assert pairs(made) == {"link/a_x4.png": "link/a_x4_x4.png"}
    assert reasons(made) == {"d/a.png": "the output would replace the input link/a_x4.png"}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {}),
        ({"output": "in"}, {"output": "in"}),
        ({"output": "in"}, {}),
        ({}, {"scale": 2}),
        ({"scale": 2.5}, {}),
        ({"size": (60, None)}, {"size": (60, None)}),
        ({"size": (60, None)}, {"output": "in"}),
        ({"format": "PNG"}, {"format": "PNG"}),
        ({"format": "PNG", "suffix": "_s"}, {"format": "PNG", "suffix": "_s"}),
        ({}, {"suffix": "_s"}),
    ],
)
def test_a_second_run_takes_no_output_of_the_first(first, then):
    """With two inputs of one stem, so that some outputs have the longer names of clashes."""
    names = ["in/a.jpg", "in/a.png", "in/b.png", "in/deep/c.png"]
    for name in names:
        picture(name)
    outputs = [job.target for job in plan("in", **first).jobs]
    for target in outputs:
        shutil.copy("in/b.png", target)

    made = plan("in", **then, overwrite=True)

    assert sorted(pairs(made)) == names
    assert (made.earlier, made.ignored) == (len(outputs), 0)


def test_marked_names_without_a_source_or_named_themselves_are_inputs():
    for name in ("in/plan_x4.png", "in/a.png", "in/a_x4.png", "in/b_60x45.png"):
        picture(name)

    made = plan("in", overwrite=True)

    assert set(pairs(made)) == {"in/a.png", "in/b_60x45.png", "in/plan_x4.png"}
    assert "in/a_x4.png" in pairs(plan("in", "in/a_x4.png"))
    assert "in/a_x4.png" in pairs(plan("in/a_x4.png", output="out"))


def test_outputs_beside_their_sources_are_no_sources_of_a_run_elsewhere():
    """Of their size: icons and pictures that happen to have such names are."""
    picture("in/a.png", (40, 30))
    picture("in/a.jpg", (20, 10))
    for name, size in [("a_x2", (80, 60)), ("a_x2.5", (100, 75)), ("a_60x45", (60, 45))]:
        picture(f"in/{name}.png", size)
    picture("in/a_x4.jpg.png", (80, 40))
    others = {"a_x3": (80, 60), "a_16x16": (16, 16), "a_x99": (40, 30), "b_x4": (160, 120)}
    for name, size in others.items():
        picture(f"in/{name}.png", size)

    made = plan("in", output="out")

    wanted = ["a.jpg", "a.png", *(f"{name}.png" for name in others)]
    assert set(pairs(made)) == {f"in/{name}" for name in wanted}
    assert made.earlier == 4


def test_a_name_that_does_not_tell_the_content_is_said():
    picture("in/a.png")
    shutil.move(picture("in/b.png"), "in/IMG.jpeg")

    made = plan("in", output="out")

    assert pairs(made) == {"in/IMG.jpeg": "out/IMG.png", "in/a.png": "out/a.png"}
    assert [job.notes for job in made.jobs] == [("PNG by its content",), ()]


def test_a_suffix_tells_outputs_only_where_it_would_put_them():
    """Cameras and people number by suffixes, too."""
    picture("in/a.png")
    picture("in/a-1.png")

    assert list(pairs(plan("in", suffix="-1", overwrite=True))) == ["in/a.png"]
    assert list(pairs(plan("in", suffix="-1", output="out"))) == ["in/a-1.png", "in/a.png"]


def test_a_folder_that_may_not_be_entered_is_refused_not_lost(monkeypatch):
    """By a stand-in: the rights of files do not bind every user."""
    picture("in/a.png")
    picture("in/locked/b.png")
    scandir = os.scandir

    def bound(path="."):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", bound)
    made = plan("in", output="out")

    assert list(pairs(made)) == ["in/a.png"]
    assert reasons(made) == {"in/locked": "cannot be entered: Permission denied"}


def test_one_file_typed_by_two_ways_is_one_input():
    picture("d/a.png")

    made = plan("d/../d/a.png", "d/a.png", "d")

    assert pairs(made) == {"d/../d/a.png": "d/../d/a_x4.png"}


@pytest.mark.parametrize(
    ("bits", "name", "notes"),
    [
        (8, "AVIF", ()),
        (10, "AVIF", ()),
        (16, "AVIF", ("AVIF holds 12 bits a sample: 16 were rounded",)),
        (10, "JPEG", ("JPEG holds 8 bits a sample: 10 were rounded",)),
        (16, "TIFF", ()),
    ],
)
def test_bits_that_a_format_does_not_hold_are_said(bits, name, notes):
    header = Header(format=name, width=4, height=4, has_alpha=False, bits=bits)

    assert choose_format(header, Naming()) == (name, notes)
