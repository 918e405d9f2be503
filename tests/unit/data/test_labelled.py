import copy
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hfdiff.core.errors import ImageError
from hfdiff.data.batches import DataSettings, batch_loader
from hfdiff.data.labelled import LabelledBatches, resized_crop, validation_batches
from hfdiff.data.labels import KINDS, LabelSettings, classes_of, held_out, read_labels
from hfdiff.data.pictures import PictureSet
from training_pieces import write_pictures

DATA = DataSettings(gt_size=64, workers=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Class ``many`` with four pictures, class ``one`` with one."""
    root = tmp_path_factory.mktemp("classes")
    write_pictures(root / "many")
    (root / "one").mkdir()
    (root / "many" / "rings.png").rename(root / "one" / "rings.png")
    write_pictures(root / "many")
    return root


@pytest.fixture(scope="module")
def pictures(folder):
    return PictureSet([folder], least_side=64)


def batches_of(pictures, *, data=DATA, seed=0, batch=4, rank=0, ranks=1, **labels):
    settings = LabelSettings(**labels)
    book = read_labels(sorted({path.parent.parent for path in pictures.paths}), settings)
    classes = classes_of(book, settings)
    shares = {"seed": seed, "batch": batch, "rank": rank, "ranks": ranks}
    return LabelledBatches(pictures, data, settings, book, classes, **shares)


def test_a_batch_holds_patches_and_their_classes(pictures):
    batch = batches_of(pictures)[0]

    assert batch.gt_pm1.shape == batch.lq_pm1.shape == (4, 3, 64, 64)
    assert batch.labels.dtype == torch.int64
    for name, label in zip(batch.names, batch.labels.tolist(), strict=True):
        assert Path(name).parent.name == ("many", "one")[label]
    assert torch.equal(batch.gt_pm1, batch.lq_pm1)


def test_the_class_of_a_degraded_patch_is_what_was_done_to_it(pictures):
    batches = batches_of(pictures, by="degradations", batch=32)

    batch = batches[0]

    assert set(batch.labels.tolist()) == set(range(len(KINDS)))
    same = (batch.gt_pm1 == batch.lq_pm1).flatten(1).all(1)
    assert same.tolist() == (batch.labels == KINDS.index("none")).tolist()


def test_parts_and_copies_keep_the_classes(pictures):
    batch = batches_of(pictures, by="both", batch=8)[0]

    part = batch.part(2, 5).to(torch.device("cpu"))

    assert torch.equal(part.labels, batch.labels[2:5])
    assert torch.equal(part.lq_pm1, batch.lq_pm1[2:5])
    assert (part.first, part.whole_size, part.names) == (2, 8, batch.names[2:5])


@pytest.mark.parametrize("labels", [{}, {"by": "both", "balanced": True}, {"crop": "resized"}])
def test_a_batch_follows_from_seed_and_number_alone(pictures, labels):
    first = batches_of(pictures, **labels)
    _ = first[5], first[1]

    again = copy.deepcopy(batches_of(pictures, **labels))[3]
    assert torch.equal(first[3].lq_pm1, again.lq_pm1)
    assert torch.equal(first[3].labels, again.labels)
    assert not torch.equal(first[3].lq_pm1, batches_of(pictures, seed=1, **labels)[3].lq_pm1)


def test_workers_change_nothing(pictures):
    batches = batches_of(pictures, by="both")

    alone = list(batch_loader(batches, 0, 3, 0))
    together = list(batch_loader(batches, 0, 3, 2))

    for a, b in zip(alone, together, strict=True):
        assert torch.equal(a.lq_pm1, b.lq_pm1)
        assert torch.equal(a.labels, b.labels)


def test_ranks_share_a_batch(pictures):
    whole = batches_of(pictures, by="both", batch=6)[2]

    shares = [batches_of(pictures, by="both", batch=6, rank=rank, ranks=2)[2] for rank in (0, 1)]

    assert torch.equal(torch.cat([share.labels for share in shares]), whole.labels)
    assert torch.equal(torch.cat([share.lq_pm1 for share in shares]), whole.lq_pm1)


def test_balanced_shows_classes_equally_often_and_every_picture_of_each(pictures):
    batches = batches_of(pictures, balanced=True, batch=8)

    shown = [batches[number] for number in range(2)]

    assert Counter(torch.cat([b.labels for b in shown]).tolist()) == {0: 8, 1: 8}
    many = [name for b in shown for name in b.names if Path(name).parent.name == "many"]
    assert set(Counter(many).values()) == {2}
    assert len(set(many)) == 4


def test_a_picture_that_became_unreadable_is_said_and_replaced_by_its_class(
    folder, caplog, monkeypatch
):
    pictures = PictureSet([folder], least_side=64, in_memory=False)
    lost = next(path for path in pictures.paths if path.name == "waves.png")

    def read(index, get=PictureSet.__getitem__):
        if pictures.paths[index] == lost:
            raise ImageError("it is broken")
        return get(pictures, index)

    monkeypatch.setattr(PictureSet, "__getitem__", lambda self, index: read(index))
    batches = batches_of(pictures, balanced=True, batch=16)
    with caplog.at_level(logging.WARNING):
        batch = batches[0]

    assert Counter(batch.labels.tolist()) == {0: 8, 1: 8}
    assert str(lost) not in batch.names
    assert caplog.text.count("waves.png is left out: it is broken") == 1


def test_pictures_that_are_not_in_the_book_are_not_trained_on(pictures):
    settings = LabelSettings(by="both")
    training, others = held_out(read_labels_of(pictures), 0.4)
    classes = classes_of(training, settings)

    batches = LabelledBatches(pictures, DATA, settings, training, classes, seed=0, batch=8)

    shown = {Path(name) for number in range(6) for name in batches[number].names}
    assert shown == set(training.sources)
    assert len(others.sources) == 2


def test_a_limit_uses_the_first_pictures_only(pictures):
    data = replace(DATA, limit=2)

    batch = batches_of(pictures, data=data, batch=8)[0]

    assert set(batch.names) == set(map(str, pictures.paths[:2]))


def test_validation_shows_the_middle_of_every_picture_in_every_kind(pictures):
    settings = LabelSettings(by="both")
    batches = batches_of(pictures, by="both")

    made = list(
        validation_batches(pictures, DATA, settings, read_labels_of(pictures), batches._classes)
    )

    assert len(made) == len(pictures)
    for batch, path, picture in zip(made, pictures.paths, pictures, strict=True):
        source = ("many", "one").index(path.parent.name)
        assert batch.labels.tolist() == [source * 5 + kind for kind in range(5)]
        assert set(batch.names) == {str(path)}
        middle = torch.from_numpy(picture[16:80, 28:92].copy()).movedim(-1, 0) / 127.5 - 1
        torch.testing.assert_close(batch.lq_pm1[0], middle, atol=1e-5, rtol=0)
        assert not torch.equal(batch.lq_pm1[0], batch.lq_pm1[1])


def read_labels_of(pictures):
    roots = sorted({path.parent.parent for path in pictures.paths})
    return read_labels(roots, LabelSettings(by="both"))


def test_a_resized_crop_is_a_part_of_the_picture_at_another_scale():
    ramp = np.repeat(np.arange(0, 240, dtype=np.uint8)[None, :, None], 100, axis=0).repeat(3, 2)
    spans, mirrored = [], 0
    for number in range(60):
        patch = resized_crop(ramp, 32, np.random.default_rng(number))
        assert patch.shape == (32, 32, 3)
        row = patch[16, :, 0].astype(int)
        mirrored += row[0] > row[-1]
        spans.append(abs(row[-1] - row[0]))

    assert min(spans) < 60
    assert max(spans) > 100
    assert 15 < mirrored < 45


def test_a_picture_too_long_for_any_crop_gives_a_square_of_its_short_side():
    strip = np.zeros((4, 400, 3), dtype=np.uint8)

    assert resized_crop(strip, 8, np.random.default_rng(0)).shape == (8, 8, 3)
