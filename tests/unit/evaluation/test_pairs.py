import numpy as np
import pytest
import torch
from PIL import Image

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.data.names import plain_name
from hfdiff.evaluation.pairs import find_pairs, read_rgb_01


def draw(path, *, size=(8, 6), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)
    return path


@pytest.fixture
def folders(tmp_path):
    """Makes two folders of pictures with the given names."""

    def make(sr_names, gt_names):
        for kind, names in (("sr", sr_names), ("gt", gt_names)):
            for name in names:
                draw(tmp_path / kind / name)
        return tmp_path / "sr", tmp_path / "gt"

    return make


def names_of(pairing):
    return [(pair.name, pair.gt.name) for pair in pairing.pairs]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Canon_003_LR4.png", "/canon_003"),
        ("Canon_003_HR.png", "/canon_003"),
        ("0801x4.png", "/0801"),
        ("0801.png", "/0801"),
        ("bird_x4.webp", "/bird"),
        ("bird-4x.jpg", "/bird"),
        ("bird_SR_x4.png", "/bird"),
        ("a/b/bird_out.png", "a/b/bird"),
        ("photo_01.jpg", "/photo_01"),
        ("photo_2.jpg", "/photo_2"),
        ("1.png", "/1"),
        ("x4.png", "/x4"),
        ("_SR.png", "/_sr"),
        ("phoenix4.png", "/phoenix4"),
    ],
)
def test_endings_that_programs_append_do_not_belong_to_a_name(name, plain):
    assert plain_name(name) == plain


def test_the_same_name_is_a_pair(folders):
    sr, gt = folders(["b.png", "a.png"], ["a.png", "b.png"])

    assert names_of(find_pairs(sr, gt)) == [("a.png", "a.png"), ("b.png", "b.png")]


def test_extension_and_endings_may_differ(folders):
    sr, gt = folders(["a.webp", "c_003_LR4.png"], ["a.png", "c_003_HR.png"])

    assert names_of(find_pairs(sr, gt)) == [("a.webp", "a.png"), ("c_003_LR4.png", "c_003_HR.png")]


def test_names_that_differ_by_extension_only_keep_to_their_own(folders):
    sr, gt = folders(["1.jpg", "1.png"], ["1.jpg", "1.png"])

    assert names_of(find_pairs(sr, gt)) == [("1.jpg", "1.jpg"), ("1.png", "1.png")]


def test_folders_of_folders_are_paired_part_by_part(folders):
    sr, gt = folders(["day/1_x4.png", "night/1_x4.png"], ["day/1.png", "night/1.png"])

    pairing = find_pairs(sr, gt)

    assert [pair.gt.parent.name for pair in pairing.pairs] == ["day", "night"]


def test_two_files_are_a_pair_whatever_their_names(tmp_path):
    sr, gt = draw(tmp_path / "mine.png"), draw(tmp_path / "truth.png")

    assert names_of(find_pairs(sr, gt)) == [("mine.png", "truth.png")]


def test_without_gt_every_picture_stands_alone(folders):
    sr, _ = folders(["a.png", "b.png"], [])
    (sr / "notes.txt").write_text("no picture")
    draw(sr / ".thumbnails" / "a.png")

    pairing = find_pairs(sr)

    assert [(pair.name, pair.gt) for pair in pairing.pairs] == [("a.png", None), ("b.png", None)]


def test_an_sr_without_gt_is_named_and_refused(folders):
    sr, gt = folders(["a.png", "b.png"], ["a.png"])

    with pytest.raises(SettingsError, match=r"1 sr without a gt: b\.png"):
        find_pairs(sr, gt, partial=True)


def test_a_gt_without_sr_is_named_and_refused_unless_that_is_wanted(folders):
    sr, gt = folders(["a.png"], ["a.png", "b.png"])

    with pytest.raises(SettingsError, match=r"1 gt without an sr: b\.png") as caught:
        find_pairs(sr, gt)

    assert "--partial" in caught.value.hint
    assert find_pairs(sr, gt, partial=True).left_out == ("b.png",)


def test_two_candidates_for_one_gt_are_named_and_refused(folders):
    sr, gt = folders(["a_x2.png", "a_x4.png"], ["a_HR.png"])

    with pytest.raises(SettingsError, match=r"not clear .*: a_x2\.png, a_x4\.png, a_HR\.png"):
        find_pairs(sr, gt)


def test_other_sizes_are_named_and_refused(folders):
    sr, gt = folders(["a.png", "b.png"], ["a.png"])
    draw(gt / "b.png", size=(9, 6))

    with pytest.raises(SettingsError, match=r"same size: b\.png is 8x6, its gt 9x6"):
        find_pairs(sr, gt)


def test_a_file_against_a_folder_is_refused(folders):
    sr, gt = folders(["a.png"], ["a.png"])

    with pytest.raises(SettingsError, match="must both be files or both be folders"):
        find_pairs(sr / "a.png", gt)


def test_what_does_not_exist_or_holds_no_pictures_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="nowhere does not exist"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="holds no pictures"):
        find_pairs(tmp_path)


def test_a_broken_picture_is_left_for_its_turn(folders):
    sr, gt = folders(["a.png"], ["a.png"])
    (sr / "a.png").write_bytes(b"no picture")

    assert names_of(find_pairs(sr, gt)) == [("a.png", "a.png")]
    with pytest.raises(ImageError):
        read_rgb_01(sr / "a.png")


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_every_kind_of_picture_is_read_as_rgb_in_0_1(tmp_path, mode):
    grey = Image.fromarray(np.full((6, 8), 51, np.uint8))
    grey.convert(mode).save(tmp_path / "a.png")

    picture = read_rgb_01(tmp_path / "a.png")

    torch.testing.assert_close(picture, torch.full((1, 3, 6, 8), 0.2))
