import math

import pytest

from hfdiff.core.errors import SettingsError
from hfdiff.metrics.classification import balanced_accuracy


def test_every_class_counts_alike_however_many_samples_it_has():
    truth = [0] * 8 + [1] * 2
    answers = [0] * 8 + [0, 1]

    assert balanced_accuracy(truth, answers, range(10), seed=0).mean == pytest.approx(0.75)


def test_the_same_answer_for_all_is_chance():
    truth = [0, 1, 2, 3] * 5

    interval = balanced_accuracy(truth, [2] * 20, range(20), seed=0)

    assert interval.mean == pytest.approx(0.25)
    assert interval.n == 20


def test_samples_of_one_original_make_the_interval_no_narrower():
    """Twenty copies of each of six originals tell no more than the six."""
    truth, answers = [0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 1]

    few = balanced_accuracy(truth, answers, range(6), seed=1)
    many = balanced_accuracy(truth * 20, answers * 20, [*range(6)] * 20, seed=1)

    assert (few.low, few.high) == pytest.approx((many.low, many.high))
    assert few.low < few.mean < few.high


def test_the_interval_shrinks_with_originals_and_follows_from_the_seed():
    truth, answers = [0, 0, 1, 1], [0, 1, 1, 0]

    few = balanced_accuracy(truth * 5, answers * 5, range(20), seed=0)
    many = balanced_accuracy(truth * 80, answers * 80, range(320), seed=0)

    assert 0 < many.high - many.low < 0.5 * (few.high - few.low)
    assert few == balanced_accuracy(truth * 5, answers * 5, range(20), seed=0)


def test_one_original_tells_nothing_of_spread():
    interval = balanced_accuracy([0, 1], [0, 1], ["a", "a"], seed=0)

    assert interval.mean == 1
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


@pytest.mark.parametrize("given", [([], [], []), ([0, 1], [0], ["a", "b"])])
def test_what_does_not_fit_together_is_refused(given):
    with pytest.raises(SettingsError, match="needs a class, an answer and an original"):
        balanced_accuracy(*given, seed=0)
