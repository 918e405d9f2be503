import logging
import os
import pickle
import resource
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from hfdiff.core.errors import ImageError, ResourceError, SettingsError
from hfdiff.core.settings import validate
from hfdiff.data.batches import (
    Batch,
    DataSettings,
    PairBatches,
    batch_loader,
    random_patch,
)
from hfdiff.data.pictures import PictureSet
from hfdiff.data.validation import validation_pairs
from training_pieces import write_pictures

SETTINGS = DataSettings(gt_size=64, degradation="mild", workers=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def pictures(folder):
    return PictureSet([folder], least_side=64)


def batches_of(pictures, *, seed=0, batch=4, settings=SETTINGS, **shares):
    return PairBatches(pictures, settings, seed=seed, batch=batch, **shares)


def assert_same(a, b):
    assert torch.equal(a.lq_pm1, b.lq_pm1)
    assert torch.equal(a.gt_pm1, b.gt_pm1)
    assert (a.names, a.first, a.whole_size) == (b.names, b.first, b.whole_size)


def test_a_batch_holds_pairs_from_minus_one_to_one(pictures):
    batch = batches_of(pictures)[0]

    assert batch.gt_pm1.shape == (4, 3, 64, 64)
    assert batch.lq_pm1.shape == (4, 3, 16, 16)
    for tensor in (batch.gt_pm1, batch.lq_pm1):
        assert tensor.dtype == torch.float32
        assert -1 <= tensor.min() < -0.1 < 0.1 < tensor.max() <= 1


def test_a_batch_follows_from_seed_and_number_alone(pictures):
    first = batches_of(pictures)
    _ = first[7], first[2]

    assert_same(first[3], batches_of(pictures)[3])
    assert not torch.equal(first[3].gt_pm1, batches_of(pictures, seed=1)[3].gt_pm1)
    assert not torch.equal(first[3].gt_pm1, first[4].gt_pm1)


def test_every_epoch_shows_every_picture_once_in_an_order_of_its_own(pictures):
    batches = batches_of(pictures)

    orders = [batches[number].names for number in range(6)]

    assert all(sorted(order) == sorted(map(str, pictures.paths)) for order in orders)
    assert len(set(orders)) > 1


def test_a_limit_uses_the_first_pictures_only(pictures):
    settings = DataSettings(gt_size=64, degradation="mild", workers=0, limit=2)

    batch = batches_of(pictures, settings=settings)[0]

    assert set(batch.names) == set(map(str, pictures.paths[:2]))


def test_about_the_asked_share_of_the_gt_is_soft(pictures):
    plain = batches_of(pictures)
    soft = batches_of(pictures, settings=replace(SETTINGS, soft=0.5))

    pairs = [(plain[n].gt_pm1, soft[n].gt_pm1) for n in range(8)]
    same = [torch.equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True)]

    assert np.mean(same) == pytest.approx(0.5, abs=0.25)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"soft": 1.5}, "data.soft is a share"),
        ({"soft": 0.5, "crop": "published"}, "crop native"),
        ({"soft": 0.5, "lq_root": ("lq",)}, "of lq that are made"),
    ],
)
def test_soft_gt_are_refused_where_they_mean_nothing(wrong, said):
    with pytest.raises(SettingsError, match=said):
        replace(SETTINGS, **wrong)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(pictures, workers):
    batches = batches_of(pictures)

    loaded = list(batch_loader(batches, 2, 5, workers))

    assert len(loaded) == 3
    for number, batch in enumerate(loaded, start=2):
        assert_same(batch, batches[number])


class BetweenLevels(PairBatches):
    """Samples that 8 bit cannot hold."""

    def __getitem__(self, number):
        batch = super().__getitem__(number)
        return replace(batch, gt_pm1=batch.gt_pm1 * 0.999)


def test_workers_lose_nothing_that_8_bit_cannot_hold(pictures):
    batches = BetweenLevels(pictures, SETTINGS, seed=0, batch=4)

    (loaded,) = batch_loader(batches, 0, 1, 1)

    assert_same(loaded, batches[0])


@pytest.mark.skipif(sys.platform != "linux", reason="shared memory is a file on Linux only")
@pytest.mark.timeout(60)  # without room in it, torch waits for ever
def test_workers_need_no_shared_memory(pictures):
    """In a container it is 64 MB; here, as any file, it may hold a tenth of a batch."""
    batches = BetweenLevels(pictures, SETTINGS, seed=0, batch=32)
    size = batches[0].gt_pm1.nbytes
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 10, before[1]))
    try:
        loaded = list(batch_loader(batches, 0, 3, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    for number, batch in enumerate(loaded):
        assert_same(batch, batches[number])


def test_batches_can_be_sent_to_another_process(pictures):
    batches = batches_of(pictures)

    assert_same(pickle.loads(pickle.dumps(batches))[1], batches[1])  # noqa: S301


def test_shares_of_processes_make_up_the_whole_batch(pictures):
    whole = batches_of(pictures)[5]

    shares = [batches_of(pictures, rank=rank, ranks=2)[5] for rank in range(2)]

    assert [share.rows for share in shares] == [slice(0, 2), slice(2, 4)]
    for share in shares:
        assert share.whole_size == 4
        assert share.names == whole.names[share.rows]
        torch.testing.assert_close(share.gt_pm1, whole.gt_pm1[share.rows], atol=0, rtol=0)
        torch.testing.assert_close(share.lq_pm1, whole.lq_pm1[share.rows], atol=0, rtol=0)


def test_parts_know_their_place_in_the_whole_batch(pictures):
    share = batches_of(pictures, batch=8, rank=1, ranks=2)[0]

    part = share.part(1, 3)

    assert part.rows == slice(5, 7)
    assert part.whole_size == 8
    assert part.names == share.names[1:3]
    assert torch.equal(part.lq_pm1, share.lq_pm1[1:3])


def test_a_batch_alone_is_a_whole_one():
    batch = Batch(lq_pm1=torch.zeros(2, 3, 4, 4), gt_pm1=torch.zeros(2, 3, 8, 8), names=("a", "b"))

    assert batch.rows == slice(0, 2)
    assert batch.part(1, 2).whole_size == 2


def test_a_batch_that_cannot_be_shared_is_refused(pictures):
    with pytest.raises(SettingsError, match="batch 4 cannot be shared by 3 processes"):
        batches_of(pictures, ranks=3)


def test_a_picture_that_breaks_during_the_run_is_replaced_and_said_once(tmp_path, caplog):
    write_pictures(tmp_path)
    pictures = PictureSet([tmp_path], least_side=64, in_memory=False)
    batches = batches_of(pictures)
    before = batches[0].names
    (tmp_path / "rings.png").write_text("gone")

    with caplog.at_level(logging.WARNING):
        after = batches[0].names
        again = batches[0].names

    lost = str(tmp_path / "rings.png")
    assert lost in before
    assert lost not in after
    assert [a == b for a, b in zip(before, after, strict=True)].count(False) == 1
    assert after == again
    assert len(caplog.records) == 1
    assert "rings.png is left out: not a picture" in caplog.text


@pytest.mark.parametrize("workers", [0, 1])
def test_when_no_picture_is_left_the_run_ends_with_one_sentence(tmp_path, workers):
    write_pictures(tmp_path)
    batches = batches_of(PictureSet([tmp_path], least_side=64, in_memory=False))
    for path in tmp_path.iterdir():
        path.write_text("gone")

    with pytest.raises(ImageError, match=r"^none of the 4 pictures can be read any more$"):
        next(batch_loader(batches, 0, 2, workers))


class Failing(PairBatches):
    def __getitem__(self, number):
        raise RuntimeError("something in the worker")


def test_what_fails_in_a_worker_is_said_with_a_way_out(pictures):
    batches = Failing(pictures, SETTINGS, seed=0, batch=4)

    with pytest.raises(ResourceError, match="something in the worker") as caught:
        next(batch_loader(batches, 0, 2, 1))

    assert caught.value.hint == "data.workers=0 prepares batches in the training process itself"


class Killed(PairBatches):
    def __getitem__(self, number):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.timeout(60)
def test_a_worker_that_is_killed_ends_the_run_and_does_not_hang_it(pictures):
    batches = Killed(pictures, SETTINGS, seed=0, batch=4)

    with pytest.raises(ResourceError, match=r"worker .* exited|killed by signal") as caught:
        next(batch_loader(batches, 0, 2, 1))

    assert "data.workers=0" in caught.value.hint


def test_patches_are_squares_of_the_picture_in_all_eight_poses():
    picture = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)
    rng = np.random.Generator(np.random.Philox(0))
    poses = set()

    for _ in range(400):
        patch = random_patch(picture, 4, rng)
        assert patch.shape == (4, 4, 3)
        poses.add(patch.tobytes())

    assert len(poses) == 3 * 2 * 8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gt_size": 66}, "data.gt_size must be a multiple of data.scale 4, got 66"),
        ({"gt_size": 0}, "data.gt_size must be at least 1, got 0"),
        ({"workers": -1}, "data.workers must be at least 0, got -1"),
        ({"limit": -1}, "data.limit must be at least 0"),
        ({"degradation": "wild"}, "no degradation preset 'wild'"),
    ],
)
def test_settings_that_cannot_work_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        DataSettings(**values)


def test_one_folder_may_be_named_without_brackets():
    assert validate({"root": "photos"}, DataSettings, "test").root == ("photos",)


def test_validation_pairs_follow_from_the_name_and_not_from_the_company(folder):
    every = validation_pairs(folder, SETTINGS)
    alone = validation_pairs(folder / "rings.png", SETTINGS)

    assert [name for name, _, _ in every] == ["bricks", "rings", "slope", "waves"]
    name, lq, gt = alone[0]
    assert name == "rings"
    assert lq.shape == (24, 30, 3)
    assert gt.shape == (96, 120, 3)
    assert lq.dtype == gt.dtype == np.uint8
    assert np.array_equal(lq, every[1][1])
    assert np.array_equal(gt, every[1][2])


def test_validation_takes_the_first_pictures_up_to_the_limit(folder):
    assert len(validation_pairs(folder, SETTINGS, limit=3)) == 3


def test_broken_validation_pictures_are_left_out_and_said(tmp_path, caplog):
    write_pictures(tmp_path)
    whole = (tmp_path / "bricks.png").read_bytes()
    (tmp_path / "bricks.png").write_bytes(whole[: len(whole) // 2])

    with caplog.at_level(logging.WARNING):
        pairs = validation_pairs(tmp_path, SETTINGS, limit=3)

    assert [name for name, _, _ in pairs] == ["rings", "slope", "waves"]
    assert "bricks.png is left out: the picture is broken" in caplog.text
