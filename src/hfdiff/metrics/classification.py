"""How well classes are told apart: balanced accuracy, with an interval over originals."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from hfdiff.core.errors import SettingsError
from hfdiff.core.rng import numpy_rng
from hfdiff.metrics.bootstrap import Interval

RESAMPLES = 2000


def balanced_accuracy(
    truth: Sequence[int],
    predicted: Sequence[int],
    originals: Sequence[Hashable],
    *,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """Mean over classes of the share of their samples that is told right.

    The interval resamples originals, not samples: patches of one picture are no independent
    witnesses. A class that a resample lacks does not count in it.

    Args:
        truth: Class of each sample.
        predicted: What it was taken for.
        originals: What each sample was cut from.
        seed: The same seed gives the same interval.
        level: Share of resampled values between the ends.

    Returns:
        With ``n`` the number of originals; the ends are NaN where there is one only.

    Raises:
        SettingsError: when the three differ in length or are empty.
    """
    if not len(truth) == len(predicted) == len(originals) or not truth:
        raise SettingsError("balanced accuracy needs a class, an answer and an original a sample")
    samples = _Samples(truth, predicted, originals)
    n = samples.originals
    low = high = float("nan")
    if n > 1:
        rng, tail = numpy_rng(seed, "balanced accuracy"), (1 - level) / 2
        drawn = (np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(RESAMPLES))
        values = [samples.mean_recall(times) for times in drawn]
        low, high = (float(end) for end in np.quantile(values, [tail, 1 - tail]))
    mean = samples.mean_recall(np.ones(n, dtype=np.int64))
    return Interval(mean=mean, low=low, high=high, level=level, n=n)


class _Samples:
    """Answers by original and class."""

    def __init__(
        self, truth: Sequence[int], predicted: Sequence[int], originals: Sequence[Hashable]
    ) -> None:
        rows = {original: k for k, original in enumerate(dict.fromkeys(originals))}
        self.originals = len(rows)
        self._row = np.array([rows[original] for original in originals])
        self._class = np.unique(truth, return_inverse=True)[1].reshape(-1)
        self._hit = np.equal(truth, predicted)

    def mean_recall(self, times: NDArray[np.int64]) -> float:
        """Balanced accuracy where each original counts so many times."""
        weight = times[self._row]
        total = np.bincount(self._class, weight)
        right = np.bincount(self._class, weight * self._hit, minlength=len(total))
        there = total > 0
        return float((right[there] / total[there]).mean())
