"""The published draws: whole batches, the pool, the crop rule, and going on in their middle."""

import numpy as np
import pytest
import torch

from hfdiff.core.errors import SettingsError
from hfdiff.data.batches import DataSettings, PairBatches, batch_loader
from hfdiff.data.published import PoolOrder, batch_decisions
from hfdiff.degradation.decisions import Blur, Resize
from hfdiff.degradation.presets import preset
from training_pieces import write_pictures

PUBLISHED = DataSettings(
    gt_size=64, degradation="training", crop="published", draws="batch", pool_batches=2, workers=0
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def batches_of(folder, **shares):
    settings = DataSettings(**{**vars(PUBLISHED), "root": (str(folder),)})
    return PairBatches(settings.pictures(), settings, **{"seed": 0, "batch": 4, **shares})


def test_a_batch_shares_its_order_and_its_resizes_but_not_its_kernels():
    every = batch_decisions(preset("training"), seed=3, batch=6, number=1)

    resizes = {tuple(step for step in one.steps if isinstance(step, Resize)) for one in every}
    kernels = {next(step for step in one.steps if isinstance(step, Blur)) for one in every}
    assert len(resizes) == 1
    assert len(kernels) == 6
    assert every == batch_decisions(preset("training"), seed=3, batch=6, number=1)
    assert every != batch_decisions(preset("training"), seed=3, batch=6, number=2)


def test_a_pool_gives_the_first_batches_back_and_then_mixes_without_loss():
    order = PoolOrder(seed=0, batch=4, batches=3)

    given = [order[number] for number in range(40)]

    assert [sample for one in given[:3] for sample in one] == list(range(12))
    assert all(len(set(one)) == 4 for one in given)
    mixed = [sample for one in given[3:] for sample in one]
    assert len(set(mixed)) == len(mixed)  # each that is put in comes out at most once
    assert all(max(one) < number * 4 for number, one in enumerate(given) if number >= 3)
    ages = [number - sample // 4 for number, one in enumerate(given[3:], 3) for sample in one]
    assert 2 < np.mean(ages) < 4.5  # a pair stays for as many batches as the pool holds
    assert max(ages) > 6


@pytest.mark.parametrize("numbers", [(17,), (17, 17), (20, 17), (3, 5, 9, 17), (18, 2, 17)])
def test_a_pool_is_the_same_however_a_batch_is_come_to(numbers):
    straight = PoolOrder(seed=5, batch=2, batches=4)
    expected = [straight[number] for number in range(18)][17]

    order = PoolOrder(seed=5, batch=2, batches=4)

    assert [order[number] for number in numbers][-1] == expected
    assert PoolOrder(seed=6, batch=2, batches=4)[17] != expected


def test_a_run_that_goes_on_in_the_middle_sees_the_same_pairs(folder):
    straight = list(batch_loader(batches_of(folder), 0, 6, 0))

    for workers in (0, 2):
        for batch, expected in zip(
            batch_loader(batches_of(folder), 4, 6, workers), straight[4:], strict=True
        ):
            assert torch.equal(batch.lq_pm1, expected.lq_pm1)
            assert torch.equal(batch.gt_pm1, expected.gt_pm1)
            assert batch.names == expected.names


def test_ranks_share_a_published_batch(folder):
    whole = batches_of(folder)[3]

    shares = [batches_of(folder, rank=rank, ranks=2)[3] for rank in range(2)]

    assert torch.equal(torch.cat([one.gt_pm1 for one in shares]), whole.gt_pm1)
    torch.testing.assert_close(
        torch.cat([one.lq_pm1 for one in shares]), whole.lq_pm1, atol=2 / 255, rtol=0
    )


def test_the_published_crop_takes_pictures_that_are_too_small(folder):
    settings = DataSettings(**{**vars(PUBLISHED), "root": (str(folder),), "gt_size": 128})

    batch = PairBatches(settings.pictures(), settings, seed=0, batch=2)[0]

    assert batch.gt_pm1.shape == (2, 3, 128, 128)  # of pictures of 120 x 96
    native = DataSettings(root=(str(folder),), gt_size=128)
    with pytest.raises(SettingsError, match="shorter side below 128"):
        native.pictures()


def test_the_published_crop_shrinks_the_largest_square(folder):
    settings = DataSettings(**{**vars(PUBLISHED), "root": (str(folder / "rings.png"),)})
    pictures = settings.pictures()

    gt_01 = PairBatches(pictures, settings, seed=0, batch=1)[0].gt_pm1 * 0.5 + 0.5

    # 96 x 96 of 120 x 96 become 64 x 64: the mean stays, nothing is cut off.
    means = [
        (pictures[0][:, left : left + 96] / 255).mean() for left in range(pictures[0].shape[1] - 95)
    ]
    assert min(abs(mean - float(gt_01.mean())) for mean in means) < 1e-4


def test_a_pool_must_hold_something():
    with pytest.raises(SettingsError, match="at least one batch, got 0"):
        PoolOrder(seed=0, batch=4, batches=0)
