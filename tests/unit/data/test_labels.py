from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from hfdiff.core.errors import SettingsError
from hfdiff.core.rng import numpy_rng
from hfdiff.data.labels import (
    KINDS,
    Classes,
    LabelBook,
    LabelSettings,
    check_validation,
    classes_of,
    degradation_of,
    held_out,
    read_labels,
)
from hfdiff.degradation.pipeline import degrade
from scenes import gt_of
from training_pieces import write_pictures

FOLDERS = LabelSettings()


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path / "all" / "cats" / "deep")
    write_pictures(tmp_path / "all" / "dogs")
    return tmp_path / "all"


def table(path, *rows):
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def test_the_class_is_the_folder_below_the_root(folder):
    book = read_labels([folder], FOLDERS)

    assert {path.relative_to(folder).parts[0] for path in book.sources} == {"cats", "dogs"}
    for path, source in book.sources.items():
        assert path.relative_to(folder).parts[0] == source


def test_roots_are_classes_where_they_hold_pictures_themselves(folder):
    book = read_labels([folder / "dogs", folder / "cats" / "deep"], FOLDERS)

    assert set(book.sources.values()) == {"dogs", "deep"}


def test_a_listed_picture_is_of_its_own_folder(folder):
    (folder / "list.txt").write_text("cats/deep/rings.png\ndogs/rings.png\n")

    book = read_labels([folder / "list.txt"], FOLDERS)

    assert sorted(book.sources.values()) == ["deep", "dogs"]


def test_a_table_names_class_and_original(folder):
    rows = [f"{name}/{scene}.png,{scene[0]},{scene}" for name in ("cats/deep", "dogs")
            for scene in ("waves", "bricks", "rings", "slope")]  # fmt: skip
    settings = LabelSettings(
        table=table(folder / "m.csv", "file,source,original", *rows), column="source"
    )

    book = read_labels([folder], settings)

    assert set(book.sources.values()) == {"w", "b", "r", "s"}
    assert set(book.originals.values()) == {"waves", "bricks", "rings", "slope"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["file,kind"], "lacks the columns \\['source'\\]"),
        (["file,source", "dogs/rings.png,x"], r"m\.csv lacks .*bricks\.png"),
    ],
)
def test_a_table_that_does_not_tell_is_refused(folder, rows, message):
    settings = LabelSettings(table=table(folder / "m.csv", *rows))

    with pytest.raises(SettingsError, match=message):
        read_labels([folder], settings)


def test_a_table_that_is_not_there_is_refused(folder):
    with pytest.raises(SettingsError, match=r"labels\.table nowhere\.csv cannot be read"):
        read_labels([folder], LabelSettings(table="nowhere.csv"))


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("folders", ("cats", "dogs")),
        ("degradations", KINDS),
        ("both", tuple(f"{s}/{k}" for s in ("cats", "dogs") for k in KINDS)),
    ],
)
def test_classes_are_sources_kinds_or_their_pairs(folder, by, names):
    settings = LabelSettings(by=by)

    classes = classes_of(read_labels([folder], settings), settings)

    assert classes.names == names
    assert len(classes) == len(names)


def test_a_class_has_the_number_of_its_name():
    classes = Classes(sources=("a", "b"), kinds=("x", "y", "z"))

    for source in range(2):
        for kind in range(3):
            name = f"{classes.sources[source]}/{classes.kinds[kind]}"
            assert classes.names[classes.number(source, kind)] == name


def test_one_class_is_refused_with_a_way_out(folder):
    with pytest.raises(SettingsError, match="all pictures are of one class, dogs") as caught:
        classes_of(read_labels([folder / "dogs"], FOLDERS), FOLDERS)

    assert "labels.by=degradations" in caught.value.hint


def test_validation_may_not_hold_other_classes_or_the_same_pictures(folder, tmp_path):
    training = read_labels([folder], FOLDERS)
    write_pictures(tmp_path / "val" / "birds")

    with pytest.raises(SettingsError, match=r"classes that data\.root lacks: birds"):
        check_validation(training, read_labels([tmp_path / "val"], FOLDERS))
    with pytest.raises(
        SettingsError, match=r"pictures that are not trained on, but .* are in both"
    ):
        check_validation(training, training)


def test_validation_may_not_hold_other_pieces_of_an_original(folder):
    rows = ["file,source,original", "dogs/rings.png,x,one", "dogs/slope.png,y,one"]
    settings = LabelSettings(table=table(folder / "m.csv", *rows))
    one, other = (read_labels([folder / "dogs" / n], settings) for n in ("rings.png", "slope.png"))

    with pytest.raises(SettingsError, match=r"classes that data\.root lacks: y"):
        check_validation(one, other)
    (folder / "m.csv").write_text("\n".join(rows).replace(",y,", ",x,"))
    one, other = (read_labels([folder / "dogs" / n], settings) for n in ("rings.png", "slope.png"))
    with pytest.raises(SettingsError, match="but one are in both"):
        check_validation(one, other)


def book_of():
    """Six originals of class a, three of b, one of c; two pictures of each."""
    sources = {}
    for source, count in (("a", 6), ("b", 3), ("c", 1)):
        for k in range(count):
            for piece in "xy":
                sources[Path(f"{source}{k}-{piece}.png")] = source
    return LabelBook(sources=sources, originals={path: path.name[:2] for path in sources})


def test_a_share_of_every_class_s_originals_is_held_out_whole():
    training, others = held_out(book_of(), 0.3)

    assert Counter(others.sources.values()) == {"a": 4, "b": 2}
    assert Counter(training.sources.values()) == {"a": 8, "b": 4, "c": 2}
    assert not set(training.originals.values()) & set(others.originals.values())
    check_validation(training, others)


def test_what_is_held_out_does_not_change_when_others_come_or_the_folder_moves():
    _, before = held_out(book_of(), 0.3)
    book = book_of()
    sources = {**book.sources, Path("d0-x.png"): "d", Path("d1-x.png"): "d"}
    more = LabelBook(sources=sources, originals={path: path.name[:2] for path in sources})

    _, after = held_out(more, 0.3)

    assert before.sources.items() <= after.sources.items()
    assert Counter(after.sources.values())["d"] == 1


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(SettingsError, match=r"labels\.held_out must lie in \[0, 1\)"):
        LabelSettings(held_out=share)


def test_every_kind_leaves_its_own_mark():
    """Against the clean patch: blur and resize take detail, noise adds, jpeg makes 8x8 blocks."""
    gt_01 = gt_of("bricks")[:, :, :96, :96]
    shown = {kind: degrade(gt_01, [degradation_of(kind, numpy_rng(3, kind))])[0] for kind in KINDS}

    def detail(picture):
        return float((picture[:, :, 1:] - picture[:, :, :-1]).abs().mean())

    clean = detail(gt_01[0])
    assert torch.equal(shown["none"], gt_01[0])
    assert all(picture.shape == (3, 96, 96) for picture in shown.values())
    assert detail(shown["blur"]) < 0.8 * clean
    assert detail(shown["resize"]) < 0.9 * clean
    assert detail(shown["noise"]) > 1.1 * clean
    steps = np.abs(np.diff(shown["jpeg"].numpy(), axis=2)).mean((0, 1))
    assert steps[7::8].mean() > 1.02 * np.delete(steps, np.s_[7::8]).mean()


def test_a_degradation_would_not_survive_a_resized_crop():
    with pytest.raises(SettingsError, match=r"labels\.crop resized would undo"):
        LabelSettings(by="both", crop="resized")
