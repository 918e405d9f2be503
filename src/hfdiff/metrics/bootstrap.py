"""How sure a mean over pictures is: percentile bootstrap, alone and for two methods in pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hfdiff.core.errors import SettingsError
from hfdiff.core.rng import numpy_rng

RESAMPLES = 10_000
_AT_ONCE = 2_000_000  # indices drawn at once: 16 MB


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its bootstrap interval.

    Attributes:
        mean: Over the pictures.
        low: Lower end; NaN where there is one picture only.
        high: Upper end.
        level: The share of resampled means between the ends.
        n: How many pictures.
    """

    mean: float
    low: float
    high: float
    level: float
    n: int


@dataclass(frozen=True, kw_only=True)
class PairedInterval(Interval):
    """The mean difference of two methods on the same pictures.

    Attributes:
        p: Two-sided bootstrap p-value of "no difference"; at least 2 / (RESAMPLES + 1).
    """

    p: float


def bootstrap_interval(values: Sequence[float], *, seed: int, level: float = 0.95) -> Interval:
    """Mean of per-picture values and the percentile interval of 10,000 resampled means.

    Args:
        values: One a picture; infinite ones are allowed, NaN gives NaN.
        seed: The same seed gives the same interval.
        level: Between 0 and 1.

    Raises:
        SettingsError: without values or with an impossible level.
    """
    sample = _checked(values, level)
    low, high = _ends(_resampled_means(sample, seed), level)
    return Interval(mean=float(sample.mean()), low=low, high=high, level=level, n=len(sample))


def paired_bootstrap(
    values: Sequence[float], others: Sequence[float], *, seed: int, level: float = 0.95
) -> PairedInterval:
    """Mean of ``values - others``, picture by picture, with interval and p-value.

    Args:
        values: Of one method, one a picture.
        others: Of the other method, for the same pictures in the same order.
        seed: The same seed gives the same interval.
        level: Between 0 and 1.

    Raises:
        SettingsError: when the two differ in length, are empty, or the level is impossible.
    """
    if len(values) != len(others):
        raise SettingsError(
            f"paired values must be of the same pictures, got {len(values)} and {len(others)}"
        )
    sample = _checked(values, level) - np.asarray(others, dtype=np.float64)
    means = _resampled_means(sample, seed)
    low, high = _ends(means, level)
    beyond = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    p = min(1.0, 2 * (beyond + 1) / (len(means) + 1)) if len(means) else float("nan")
    mean = float(sample.mean())
    return PairedInterval(mean=mean, low=low, high=high, level=level, n=len(sample), p=p)


def _checked(values: Sequence[float], level: float) -> NDArray[np.float64]:
    if len(values) == 0:
        raise SettingsError("an interval needs at least one value, got none")
    if not 0 < level < 1:
        raise SettingsError(f"level must be between 0 and 1, got {level}")
    return np.asarray(values, dtype=np.float64)


def _resampled_means(sample: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means of samples drawn with replacement; none where one picture tells nothing of spread."""
    n = len(sample)
    if n < 2 or np.isnan(sample).any():
        return np.empty(0)
    rng = numpy_rng(seed, "bootstrap")
    rows = max(1, _AT_ONCE // n)
    counts = [min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows)]
    return np.concatenate([sample[rng.integers(0, n, (k, n))].mean(1) for k in counts])


def _ends(means: NDArray[np.float64], level: float) -> tuple[float, float]:
    if len(means) == 0:
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    # Without interpolation, which infinite means would turn into NaN.
    low, high = np.quantile(means, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)
