"""Seeds that follow from names: stable for ever, and different for different names."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hfdiff.core.rng import derive, numpy_rng

names = st.lists(st.text(max_size=8) | st.integers(-5, 5), max_size=4)


def test_derived_seeds_stay():
    """Old runs must be repeatable; origin: this code at version 0.1."""
    assert derive(0) == 2033344993903900207
    assert derive(7, "degrade", 3, 41) == 8608843384874015756
    assert derive(-1, "weights") == 6978636845805035311
    assert float(numpy_rng(7, "degrade", 3, 41).random()) == 0.7016870945637717


@given(st.integers(-(2**70), 2**70), names)
def test_a_seed_fits_every_generator(seed, path):
    derived = derive(seed, *path)

    assert 0 <= derived < 2**63
    assert derive(seed, *path) == derived


@given(names, names)
def test_other_names_give_other_seeds(one, other):
    assert (derive(0, *one) == derive(0, *other)) == (one == other)


def test_numbers_and_their_texts_differ():
    assert derive(0, 1) != derive(0, "1")
    assert derive(0, "a", "b") != derive(0, "b", "a")


def test_a_generator_gives_the_same_draws_each_time():
    first, second, other = (numpy_rng(3, "crop", k).random(5) for k in (1, 1, 2))

    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
