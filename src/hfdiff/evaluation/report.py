"""An evaluation as text for people, JSON for machines, CSV for tables."""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hfdiff.core.files import replacing
from hfdiff.evaluation.runner import Evaluation, PictureValues
from hfdiff.metrics.bootstrap import Interval
from hfdiff.metrics.table import METRICS

SCHEMA = 1  # raised when a key of the JSON changes its meaning
_WORST = 10
_DIGITS = {"psnr_y": 3, "niqe": 3}


def as_text(evaluation: Evaluation) -> str:
    """Means with intervals, the worst pictures, and all that is missing, in lines."""
    parts = [_heading(evaluation), _means(evaluation), _worst(evaluation), _missing(evaluation)]
    parts.append(_identities(evaluation))
    return "\n\n".join(part for part in parts if part)


def as_json(evaluation: Evaluation) -> str:
    """Everything, in one object; infinite numbers as the text "inf", missing ones as null."""
    pictures = [
        {
            "name": picture.name,
            "values": {name: _number(value) for name, value in picture.values.items()},
            "reasons": dict(picture.reasons),
            "failure": picture.failure or None,
        }
        for picture in evaluation.pictures
    ]
    content = {
        "schema": SCHEMA,
        "protocol": {
            "name": evaluation.protocol.name,
            "pictures": evaluation.protocol.pictures,
            "source": evaluation.protocol.source,
        },
        "sr": str(evaluation.sr),
        "gt": None if evaluation.gt is None else str(evaluation.gt),
        "device": evaluation.device,
        "seed": evaluation.seed,
        "versions": dict(evaluation.versions),
        "metrics": {
            name: {**evaluation.identities[name], **_summary(evaluation.interval(name))}
            for name in evaluation.metrics
        },
        "not_computed": [vars(one) for one in evaluation.not_computed],
        "gt_without_sr": list(evaluation.left_out),
        "worst_first": [picture.name for picture in evaluation.worst_first()],
        "pictures": pictures,
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def write_csv(evaluation: Evaluation, path: Path) -> None:
    """One row a picture in the order of their names, one column a metric, whole or not at all."""
    with replacing(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["picture", *evaluation.metrics, "failure"])
        for picture in evaluation.pictures:
            cells = [
                repr(picture.values[m]) if m in picture.values else "" for m in evaluation.metrics
            ]
            writer.writerow([picture.name, *cells, picture.failure])


def _heading(evaluation: Evaluation) -> str:
    measured = len(evaluation.pictures) - len(evaluation.failures)
    lines = [
        f"protocol {evaluation.protocol.name}: {evaluation.protocol.pictures}",
        f"{measured} of {len(evaluation.pictures)} pictures measured in {evaluation.sr}",
    ]
    if evaluation.left_out:
        total = len(evaluation.left_out) + len(evaluation.pictures)
        lines.append(f"PARTIAL: {len(evaluation.left_out)} of {total} gt have no sr")
    return "\n".join(lines)


def _means(evaluation: Evaluation) -> str:
    rows = [("metric", "better", "mean", "95 % interval", "n")]
    for name in evaluation.metrics:
        interval = evaluation.interval(name)
        better = METRICS[name].better
        if interval is None:
            rows.append((METRICS[name].title, better, "none", "", "0"))
            continue
        mean, low, high = (_digits(name, v) for v in (interval.mean, interval.low, interval.high))
        ends = f"{low} .. {high}" if interval.n > 1 else "one picture"
        rows.append((METRICS[name].title, better, mean, ends, str(interval.n)))
    return _columns(rows) if len(rows) > 1 else ""


def _worst(evaluation: Evaluation) -> str:
    ranked = evaluation.worst_first()
    if len(ranked) < 2 or not evaluation.metrics:
        return ""
    titles = [METRICS[name].title for name in evaluation.metrics]
    rows = [("worst first", *titles)]
    rows += [(picture.name, *_cells(evaluation, picture)) for picture in ranked[:_WORST]]
    rest = len(ranked) - _WORST
    more = f"\nand {rest} more (all with --csv FILE or --json)" if rest > 0 else ""
    return _columns(rows) + more


def _cells(evaluation: Evaluation, picture: PictureValues) -> list[str]:
    names = evaluation.metrics
    return [_digits(n, picture.values[n]) if n in picture.values else "none" for n in names]


def _missing(evaluation: Evaluation) -> str:
    lines = [
        f"not computed: {one.metric}: {one.reason}; {one.remedy}" for one in evaluation.not_computed
    ]
    for picture in evaluation.pictures:
        lines += [f"no {name} for {picture.name}: {why}" for name, why in picture.reasons.items()]
    lines += [f"failed: {picture.name}: {picture.failure}" for picture in evaluation.failures]
    return "\n".join(lines)


def _identities(evaluation: Evaluation) -> str:
    lines = []
    for name in evaluation.metrics:
        known = evaluation.identities[name]
        hashes = [
            f"{key} {value[:12]}" for key, value in known.items() if key.startswith("weights")
        ]
        lines.append("; ".join([f"{name}: {known['definition']}", *hashes]))
    software = ", ".join(f"{name} {number}" for name, number in evaluation.versions.items())
    return "\n".join([*lines, f"on {evaluation.device} with {software}"])


def _summary(interval: Interval | None) -> dict[str, Any]:
    if interval is None:
        return {"mean": None, "low": None, "high": None, "level": None, "n": 0}
    return {key: _number(value) for key, value in vars(interval).items()}


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def _digits(metric: str, value: float) -> str:
    return f"{value:.{_DIGITS.get(metric, 4)}f}"


def _columns(rows: Sequence[Iterable[str]]) -> str:
    table = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in table]
    return "\n".join(line.rstrip() for line in lines)
