"""Rows that come in portions of any height, passed on in bands of one height."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # it imports torch
    from hfdiff.imaging.pixels import Samples


class Bands:
    """Cuts portions into bands; no more than the rows of one band is ever copied.

    Args:
        height: Rows of a band.
        row: ``(W, C)``.
        dtype: uint8 or uint16.
    """

    def __init__(self, height: int, row: tuple[int, ...], dtype: np.dtype) -> None:
        self._height = height
        self.rest: NDArray[Any] = np.empty((0, *row), dtype)
        """Rows that no whole band was made of yet."""

    def of(self, rows: "Samples") -> Iterator["Samples"]:
        """The bands that the next rows ``[h, W, C]`` complete."""
        if len(self.rest):
            missing = self._height - len(self.rest)
            self.rest = np.concatenate((self.rest, rows[:missing]), dtype=self.rest.dtype)
            rows = rows[missing:]
            if len(self.rest) < self._height:
                return
            yield self.rest
        whole = len(rows) - len(rows) % self._height
        yield from (rows[top : top + self._height] for top in range(0, whole, self._height))
        self.rest = rows[whole:].astype(self.rest.dtype)
