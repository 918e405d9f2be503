"""Rows in portions, passed on in bands."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hfdiff.imaging.bands import Bands


@given(height=st.integers(1, 9), portions=st.lists(st.integers(0, 30), max_size=8))
def test_bands_are_the_rows_in_their_order(height, portions):
    rows = np.arange(sum(portions) * 6, dtype=np.uint16).reshape(-1, 2, 3)
    bands, made, done = Bands(height, (2, 3), rows.dtype), [], 0

    for portion in portions:
        made += [band.copy() for band in bands.of(rows[done : done + portion])]
        done += portion

    assert all(len(band) == height for band in made)
    assert len(bands.rest) < height
    assert np.array_equal(np.concatenate([*made, bands.rest]), rows)
