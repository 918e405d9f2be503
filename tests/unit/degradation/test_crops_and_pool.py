"""From pictures of any size to gt patches, and the pool of pairs."""

import numpy as np
import pytest
import torch

from hfdiff.core.errors import SettingsError
from hfdiff.degradation.crops import Crop, crop_gt, decide_crop
from hfdiff.degradation.pool import PairPool


def picture(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(90, 52), (20, 70), (48, 48), (5, 3), (1, 1)])
def test_any_picture_becomes_a_patch_of_the_wanted_size(height, width):
    generator = np.random.default_rng(1)

    for rescale in (True, False):
        crop = decide_crop(height, width, gt_size=48, rng=generator, rescale_gt=rescale)
        gt_01 = crop_gt(picture(height, width), crop, gt_size=48)
        assert gt_01.shape == (3, 48, 48)
        assert 0 <= gt_01.min() <= gt_01.max() <= 1


def test_a_rescaled_crop_is_as_large_as_the_picture_allows():
    crops = [
        decide_crop(100, 300, gt_size=48, rng=np.random.default_rng(seed)) for seed in range(200)
    ]

    assert {crop.side for crop in crops} == {100}
    assert {crop.top for crop in crops} == {0}
    assert min(crop.left for crop in crops) < 10
    assert max(crop.left for crop in crops) > 190
    assert 60 < sum(crop.flip for crop in crops) < 140


def test_a_native_crop_is_a_piece_of_the_picture():
    samples = picture(100, 90)
    crop = Crop(flip=False, side=32, top=10, left=20)

    gt_01 = crop_gt(samples, crop, gt_size=32)

    expected = samples[10:42, 20:52].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(gt_01.numpy(), expected)


def test_a_flip_exchanges_left_and_right_before_the_crop():
    samples = picture(48, 60)

    gt_01 = crop_gt(samples, Crop(flip=True, side=48, top=0, left=0), gt_size=48)

    expected = torch.from_numpy(samples[:, ::-1][:, :48].copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(gt_01, expected)


def test_a_patch_needs_a_size():
    with pytest.raises(SettingsError, match="gt_size must be at least 1, got 0"):
        decide_crop(10, 10, gt_size=0, rng=np.random.default_rng())


def batches(pool, sizes, generator):
    start = 0
    for size in sizes:
        lq = torch.arange(start, start + size, dtype=torch.float32)
        start += size
        yield lq, *pool.exchange(lq, lq + 1000, generator=generator)


def test_a_filling_pool_gives_every_batch_back_and_then_mixes():
    pool = PairPool(6)
    generator = torch.Generator().manual_seed(0)

    *filling, (_, lq, gt) = batches(pool, [2, 2, 2, 2], generator)

    assert all(torch.equal(given, taken) for given, taken, _ in filling)
    assert torch.equal(gt, lq + 1000)
    assert set(lq.tolist()) <= set(range(6))


def test_batches_of_any_size_keep_pairs_together():
    pool = PairPool(5)
    generator = torch.Generator().manual_seed(0)

    for given, lq, gt in batches(pool, [2, 2, 3, 1, 4, 2], generator):
        assert len(lq) == len(given)
        assert torch.equal(gt, lq + 1000)
    assert pool.is_full


def test_a_pool_continues_from_its_checkpoint():
    first, second = PairPool(4), PairPool(4)
    list(batches(first, [2, 2], torch.Generator()))
    second.load_state_dict(first.state_dict())
    lq = torch.tensor([7.0, 8.0])

    ours = first.exchange(lq, lq, generator=torch.Generator().manual_seed(3))
    theirs = second.exchange(lq, lq, generator=torch.Generator().manual_seed(3))

    assert torch.equal(ours[0], theirs[0])


def test_what_does_not_fit_a_pool_is_refused():
    with pytest.raises(SettingsError, match="at least one pair, got 0"):
        PairPool(0)
    pool = PairPool(2)
    pair = torch.zeros(2)
    with pytest.raises(SettingsError, match="not full yet"):
        pool.swap(pair, pair, torch.arange(2))
    pool.exchange(pair, pair, generator=torch.Generator())
    with pytest.raises(SettingsError, match="batch of 3 does not fit a pool of 2"):
        pool.swap(torch.zeros(3), torch.zeros(3), torch.arange(2))
    with pytest.raises(SettingsError, match="has 2 pairs, this one holds 1"):
        PairPool(1).load_state_dict(pool.state_dict())
