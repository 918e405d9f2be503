import math

import numpy as np
import pytest

from hfdiff.core.errors import SettingsError
from hfdiff.metrics.bootstrap import bootstrap_interval, paired_bootstrap

VALUES = list(np.random.Generator(np.random.PCG64(1)).normal(25, 3, 60))


def test_the_interval_holds_the_mean_and_is_about_four_standard_errors_wide():
    interval = bootstrap_interval(VALUES, seed=0)

    error = np.std(VALUES, ddof=1) / math.sqrt(60)
    assert interval.n == 60
    assert interval.mean == pytest.approx(np.mean(VALUES))
    assert interval.low < interval.mean < interval.high
    assert interval.high - interval.low == pytest.approx(3.92 * error, rel=0.05)


def test_the_seed_decides_the_interval():
    first = bootstrap_interval(VALUES, seed=3)

    assert bootstrap_interval(VALUES, seed=3) == first
    assert bootstrap_interval(VALUES, seed=4) != first


def test_a_higher_level_gives_a_wider_interval():
    narrow, wide = (bootstrap_interval(VALUES, seed=0, level=level) for level in (0.5, 0.99))

    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.Generator(np.random.PCG64(7))
    samples = rng.normal(0, 1, (60, 40))

    intervals = [bootstrap_interval(list(sample), seed=0) for sample in samples]

    covered = sum(i.low <= 0 <= i.high for i in intervals)
    assert 50 <= covered <= 60


def test_one_picture_has_a_mean_and_no_interval():
    interval = bootstrap_interval([2.5], seed=0)

    assert interval.mean == 2.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_an_infinite_value_makes_the_mean_infinite_and_not_nan():
    interval = bootstrap_interval([30.0, 31.0, 32.0, math.inf], seed=0)

    assert interval.mean == math.inf
    assert 30 <= interval.low < math.inf
    assert interval.high == math.inf


def test_nan_is_not_dropped():
    interval = bootstrap_interval([1.0, math.nan, 2.0], seed=0)

    assert math.isnan(interval.mean)
    assert math.isnan(interval.low)


def test_pairs_find_a_small_constant_difference_that_two_intervals_would_hide():
    better = [value + 0.1 + 0.01 * (i % 3) for i, value in enumerate(VALUES)]

    paired = paired_bootstrap(better, VALUES, seed=0)

    assert 0 < paired.low < paired.mean < paired.high
    assert paired.p < 0.001
    assert bootstrap_interval(better, seed=0).low < bootstrap_interval(VALUES, seed=0).high


def test_equal_lists_do_not_differ():
    paired = paired_bootstrap(VALUES, VALUES, seed=0)

    assert (paired.mean, paired.low, paired.high, paired.p) == (0, 0, 0, 1)


def test_pairs_of_unequal_number_are_refused():
    with pytest.raises(SettingsError, match="same pictures, got 2 and 3"):
        paired_bootstrap([1, 2], [1, 2, 3], seed=0)


def test_no_values_are_refused():
    with pytest.raises(SettingsError, match="at least one value"):
        bootstrap_interval([], seed=0)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_an_impossible_level_is_refused(level):
    with pytest.raises(SettingsError, match=f"between 0 and 1, got {level}"):
        bootstrap_interval(VALUES, seed=0, level=level)
