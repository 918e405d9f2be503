"""How much better one set of results is than another, picture by picture.

Usage: python scripts/paired_difference.py ONE.csv OTHER.csv [METRIC ...]

Both files are what ``hfdiff evaluate --csv`` wrote for the same pictures. Prints the mean of
ONE - OTHER for each metric with its 95 % interval over resampled pictures.
"""

import argparse
import csv
from pathlib import Path

from hfdiff.metrics.bootstrap import paired_bootstrap


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("metrics", nargs="*", default=["lpips"])
    asked = parser.parse_args()
    one, other = _rows(asked.one), _rows(asked.other)
    if one.keys() != other.keys():
        raise SystemExit(f"{asked.one} and {asked.other} are not of the same pictures")
    for metric in asked.metrics:
        values, others = ([float(rows[name][metric]) for name in one] for rows in (one, other))
        apart = paired_bootstrap(values, others, seed=0)
        print(f"{metric}: {apart.mean:+.4f} ({apart.low:+.4f} .. {apart.high:+.4f}), n {apart.n}")


def _rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return {row["picture"]: row for row in csv.DictReader(stream)}


if __name__ == "__main__":
    main()
