"""The run's numbers: a CSV of (step, name, value), which is the source of truth, and a line."""

import csv
import logging
from collections.abc import Mapping
from pathlib import Path

_log = logging.getLogger(__name__)
_HEAD = ("step", "name", "value")


class RunLog:
    """Appends to ``metrics.csv``; on resuming, rows after the checkpoint are cut off.

    Args:
        path: The CSV file.
        step: Steps already done; later rows belong to work that is done again.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        kept = [row for row in read_log(path) if row[0] <= step] if path.exists() else []
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(_HEAD)
            writer.writerows(kept)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write values under their names."""
        with self._path.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows((step, name, f"{v:.6g}") for name, v in values.items())

    def say(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        """One stable line for people."""
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        _log.info("step %d/%d  %s", step, steps, text)


def read_log(path: Path) -> list[tuple[int, str, float]]:
    """All rows of a ``metrics.csv``; a torn last line is left out."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.reader(stream) if len(row) == len(_HEAD) and row[0].isdecimal()]
    return [(int(step), name, float(value)) for step, name, value in rows]
