"""The run's numbers: a CSV of (step, name, value), which is the source of truth, and a line."""

import contextlib
import csv
import logging
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from hfdiff.core.files import replacing
from hfdiff.training.board import Board

_log = logging.getLogger(__name__)
_HEAD = ("step", "name", "value")

Row = tuple[int, str, float]


class RunLog:
    """Appends to ``metrics.csv``; on resuming, rows after the checkpoint are cut off.

    Args:
        path: The CSV file.
        step: Steps already done; later rows belong to work that is done again.
        board: Where values are shown as well.
    """

    def __init__(self, path: Path, step: int, board: Board | None = None) -> None:
        self._path = path
        self._board = board
        kept = [row for row in read_log(path) if row[0] <= step] if path.exists() else []
        self._validated = {row[0] for row in kept if row[1].startswith("validation/")}
        self._lowest: dict[str, float] = {}
        for _, name, value in kept:
            self._note(name, value)
        with (
            replacing(path) as scratch,
            scratch.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.writer(stream)
            writer.writerow(_HEAD)
            writer.writerows(_texts(kept))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write values under their names."""
        with self._path.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(_texts((step, name, v) for name, v in values.items()))
        for name, value in values.items():
            self._note(name, float(_text(value)))
        if self._board is not None:
            self._board.add(step, values)

    def close(self) -> None:
        """Write what is still held."""
        if self._board is not None:
            self._board.close()

    def say(self, step: int, steps: int, values: Mapping[str, float], left: str = "") -> None:
        """One stable line for people; ``left`` is the time that the rest will take."""
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        _log.info("step %d/%d  %s%s", step, steps, text, f"  {left} left" if left else "")

    def has_validation(self, step: int) -> bool:
        """Whether the file that was found holds the validation of a step."""
        return step in self._validated

    def is_lowest(self, name: str, values: Mapping[str, float]) -> bool:
        """Whether a value is below all that were written under its name; never of NaN.

        Compared is what stands in the file, so that a resumed run decides as an undisturbed one.
        """
        return float(_text(values[name])) < self._lowest.get(name, math.inf)

    def _note(self, name: str, value: float) -> None:
        if value < self._lowest.get(name, math.inf):  # not of NaN
            self._lowest[name] = value


class Pace:
    """How long steps take: data, computing and nothing else, over the newest steps."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._since = 0.0
        self._seconds = 0.0  # of a step, newest steps counting more

    def start(self) -> None:
        """Before a batch is asked for."""
        self._since = time.perf_counter()

    def stop(self) -> None:
        """After its step."""
        spent = time.perf_counter() - self._since
        self._seconds = spent if not self._seconds else 0.95 * self._seconds + 0.05 * spent

    @property
    def samples_per_second(self) -> float:
        """Over all processes."""
        return self._batch / max(self._seconds, 1e-9)  # a clock may stand still for a step

    def seconds_for(self, steps: int) -> float:
        """What so many steps will take at this pace."""
        return steps * self._seconds


def read_log(path: Path) -> list[Row]:
    """All rows of a ``metrics.csv``; torn lines are left out."""
    rows: list[Row] = []
    with path.open(newline="", encoding="utf-8", errors="replace") as stream:
        for row in csv.reader(line.replace("\0", "") for line in stream):
            if len(row) == len(_HEAD) and row[0].isdecimal():
                with contextlib.suppress(ValueError):
                    rows.append((int(row[0]), row[1], float(row[2])))
    return rows


def duration(seconds: float) -> str:
    """Seconds as ``40 s``, ``12 min`` or ``3 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _texts(rows: Iterable[Row]) -> Iterable[tuple[int, str, str]]:
    return ((step, name, _text(value)) for step, name, value in rows)


def _text(value: float) -> str:
    return f"{value:.6g}"
