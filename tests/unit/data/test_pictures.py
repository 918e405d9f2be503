import numpy as np
import pytest
from PIL import Image

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.data.pictures import PictureSet, list_pictures


def save(path, size=(40, 30), colour=(10, 20, 30), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "b.png")
    save(tmp_path / "below" / "a.jpg")
    save(tmp_path / "C.PNG")
    (tmp_path / "notes.md").write_text("no picture")
    return tmp_path


def names(paths):
    return [path.name for path in paths]


def test_folders_are_searched_to_the_bottom_in_a_fixed_order(folder):
    assert names(list_pictures([folder])) == ["C.PNG", "b.png", "a.jpg"]


def test_a_picture_may_be_named_itself(folder):
    assert list_pictures([folder / "b.png"]) == [folder / "b.png"]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
def test_lists_take_comments_blank_lines_any_ending_and_a_byte_order_mark(folder, ending, mark):
    lines = ["b.png", "# a comment", "", "  below/a.jpg  ", str(folder / "C.PNG")]
    (folder / "list.txt").write_bytes(mark + ending.join(lines).encode())

    found = list_pictures([folder / "list.txt"])

    assert names(found) == ["b.png", "a.jpg", "C.PNG"]


def test_a_missing_file_of_a_list_is_named_with_its_line(folder):
    (folder / "list.txt").write_text("b.png\n\nlost.png\n")

    with pytest.raises(SettingsError, match=r"list\.txt, line 3: lost\.png does not exist"):
        list_pictures([folder / "list.txt"])


def test_a_list_that_is_no_text_is_refused(folder):
    (folder / "list.txt").write_bytes("b.png\n".encode("utf-16"))

    with pytest.raises(SettingsError, match="must be UTF-8 text"):
        list_pictures([folder / "list.txt"])


def test_a_picture_that_is_named_twice_is_there_once(folder):
    (folder / "list.txt").write_text(f"b.png\n{folder / 'b.png'}\n./below/../b.png\n")

    assert len(list_pictures([folder, folder / "list.txt", folder / "below"])) == 3


def test_a_root_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"training data .*nowhere does not exist"):
        list_pictures([tmp_path / "nowhere"])


def test_a_root_without_pictures_is_named_though_others_have_some(folder, tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(SettingsError, match=r"no pictures in .*empty"):
        list_pictures([folder, tmp_path / "empty"])


def test_small_and_broken_pictures_are_left_out_and_counted_by_reason(folder):
    save(folder / "small.png", size=(40, 8))
    save(folder / "flat.png", size=(8, 40))
    (folder / "torn.jpg").write_bytes((folder / "below" / "a.jpg").read_bytes()[:-200])
    (folder / "text.png").write_text("no picture")

    pictures = PictureSet([folder], least_side=16)

    assert names(pictures.paths) == ["C.PNG", "b.png", "a.jpg"]
    report = pictures.report()
    assert report[0].startswith("3 pictures, 0.0 megapixels, shorter sides 30 to 30 (median 30)")
    assert report[1].startswith("2 left out: shorter side below 16 pixels (")
    assert report[1].endswith("flat.png)")
    assert any("text.png" in line and "not a picture" in line for line in report[2:])
    assert any("torn.jpg" in line and "broken" in line for line in report[2:])


def test_a_set_of_nothing_usable_says_why(folder):
    with pytest.raises(SettingsError, match="none of 3 pictures can be used: shorter side below"):
        PictureSet([folder], least_side=64)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("L", 7, (7, 7, 7)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("LA", (7, 255), (7, 7, 7)),
    ],
)
def test_every_picture_is_rgb_of_8_bit(tmp_path, mode, colour, expected, in_memory):
    path = save(tmp_path / "a.png", mode=mode, colour=colour)

    picture = PictureSet([path], least_side=1, in_memory=in_memory)[0]

    assert picture.shape == (30, 40, 3)
    assert picture.dtype == np.uint8
    assert tuple(picture[0, 0]) == expected


def test_a_picture_that_breaks_later_is_met_when_it_is_asked_for(folder):
    pictures = PictureSet([folder / "b.png"], least_side=1, in_memory=False)

    (folder / "b.png").write_text("gone")

    with pytest.raises(ImageError, match="not a picture"):
        pictures[0]
