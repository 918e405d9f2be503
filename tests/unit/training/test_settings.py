import itertools
import math

import pytest

from hfdiff.core.errors import SettingsError
from hfdiff.training.settings import OptimiserSettings, RunSettings

PLAIN = OptimiserSettings(learning_rate=1.0, warmup=10, final=0.1)


def test_the_rate_rises_in_equal_steps_to_its_highest():
    rates = [PLAIN.rate(step, 100) for step in range(11)]

    assert rates[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert rates[10] == pytest.approx(1.0)


def test_the_rate_falls_along_half_a_cosine_to_its_last():
    rates = [PLAIN.rate(step, 110) for step in range(10, 111)]

    assert all(a > b for a, b in itertools.pairwise(rates))
    assert rates[50] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)
    assert PLAIN.rate(500, 110) == pytest.approx(0.1)


def test_without_a_last_rate_it_stays_where_it_is():
    constant = OptimiserSettings(learning_rate=1.0, warmup=0, final=None)

    assert {constant.rate(step, 10) for step in range(20)} == {1.0}


def test_the_published_rise_begins_behind_the_first_step():
    """Facts e.5: each rate is set for the step after."""
    published = OptimiserSettings(learning_rate=1.0, warmup=10, rise="published", final=None)

    rates = [published.rate(step, 100) for step in range(12)]

    assert rates == pytest.approx([1.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0])


def test_the_rate_halves_after_the_named_steps():
    halved = OptimiserSettings(learning_rate=1.0, warmup=0, final=None, halve_after=(3, 5))

    assert [halved.rate(step, 9) for step in range(7)] == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]


def test_the_rate_decays_by_a_factor_every_so_many_steps():
    """The extractor's: 5e-4 * 0.95 ** (step // 5000) (paper 4.1)."""
    decaying = OptimiserSettings(
        learning_rate=5e-4, warmup=0, final=None, decay=0.95, decay_every=5000
    )

    assert [decaying.rate(step, 800_730) for step in (0, 4999, 5000)] == [5e-4, 5e-4, 0.95 * 5e-4]
    assert decaying.rate(800_729, 800_730) == pytest.approx(1.36e-7, rel=0.01)


def test_the_rate_is_a_function_of_the_step_alone():
    """So it goes on where a resumed run goes on, and later milestones take effect."""
    halved = OptimiserSettings(learning_rate=1.0, warmup=4, final=0.1, halve_after=(8,))

    once = [halved.rate(step, 12) for step in range(12)]

    assert [halved.rate(step, 12) for step in range(6, 12)] == once[6:]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rate": -1e-4}, "optimiser.learning_rate must be at least 0"),
        ({"learning_rate": math.nan}, "optimiser.learning_rate must be at least 0, got nan"),
        ({"final": math.inf}, "optimiser.final must be at least 0, got inf"),
        ({"warmup": -1}, "optimiser.warmup must be at least 0"),
        ({"clip": -1.0}, "optimiser.clip must be at least 0"),
        ({"betas": (0.9, 1.0)}, r"optimiser.betas must lie in \[0, 1\)"),
    ],
)
def test_an_optimiser_that_cannot_work_is_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        OptimiserSettings(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"keep": 0}, "keep must be at least 1, got 0"),
        ({"log_every": 0}, "log_every must be at least 1, got 0"),
        ({"micro_batch": -1}, "micro_batch must be at least 0, got -1"),
        ({"checkpoint_every": -1}, "checkpoint_every must be at least 0, got -1"),
        ({"ema": 1.0}, r"ema must lie in \[0, 1\), got 1.0"),
    ],
)
def test_a_run_that_cannot_work_is_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        RunSettings(**values)
