"""Degrading must not make a set of pictures brighter or darker (users 6.6.14)."""

import numpy as np
import pytest

from hfdiff.data.batches import DataSettings, PairBatches
from training_pieces import write_pictures


@pytest.mark.parametrize("degradation", ["mild", "training"])
def test_degrading_does_not_make_pictures_brighter_or_darker(tmp_path, degradation):
    folder = write_pictures(tmp_path)
    settings = DataSettings(root=(str(folder),), gt_size=64, degradation=degradation)
    batches = PairBatches(settings.pictures(), settings, seed=0, batch=16)

    drift = [
        (batch.lq_pm1.mean((1, 2, 3)) - batch.gt_pm1.mean((1, 2, 3))) * 127.5
        for batch in map(batches.__getitem__, range(20))
    ]

    values = np.concatenate([each.numpy() for each in drift])
    assert abs(values.mean()) < 0.5  # measured: -0.01 mild, -0.21 training, give or take 0.09
