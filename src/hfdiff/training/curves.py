"""Curves of a run as one SVG file, drawn from its ``metrics.csv`` without any further library.

A panel per term: what was measured in pale, its moving average in full. Validation has a panel per
metric with a line per way to make the picture; norms of gradients have one per phase.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from hfdiff.core.errors import SettingsError
from hfdiff.core.files import replacing
from hfdiff.training.log import Row, read_log

WIDTH, HEIGHT = 360, 220  # of a panel, with its margins
COLUMNS = 3
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 18, 26, 24
_MOST_POINTS = 400  # of a line: more are not seen
_MOST_DOTS = 30  # a line of few points shows each of them
_LOG_FROM = 10.0  # values that span more than this are drawn on a logarithmic axis
_COLOURS = ("#1f5fa8", "#c4501b", "#2e7d32", "#7b3fa0", "#8a6d00", "#00808a")
_STYLE = (
    "text{font:11px sans-serif;fill:#333}.title{font-weight:bold}"
    "path{fill:none;stroke-width:1.5}.raw{stroke-width:1;opacity:.25}"
    ".frame{stroke:#999;fill:none}.grid{stroke:#ddd;stroke-width:1}"
)

_EXACT = ("validation", "learning rate")  # panels without moving averages

Points = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One diagram.

    Attributes:
        title: Above it.
        lines: Points (step, value) by label; a single line needs none.
        is_smoothed: Whether moving averages are drawn over the points.
    """

    title: str
    lines: Mapping[str, Points]
    is_smoothed: bool = True


def write_curves(run: Path, out: Path) -> list[Panel]:
    """Draw a run's curves; what was drawn.

    Args:
        run: Folder of the run, or its ``metrics.csv``.
        out: The SVG file; written whole or not at all.

    Raises:
        SettingsError: when there is no run or nothing in its log.
    """
    path = run / "metrics.csv" if run.is_dir() else run
    if not path.is_file():
        raise SettingsError(f"{path} does not exist: no training has run there")
    drawn = panels(read_log(path))
    if not drawn:
        raise SettingsError(f"{path} holds no values yet")
    with replacing(out) as scratch:
        scratch.write_text(svg(drawn, title=path.parent.name), encoding="utf-8")
    return drawn


def panels(rows: Iterable[Row]) -> list[Panel]:
    """Rows of a log as panels: terms, then validation, then norms, rate and speed."""
    lines: dict[str, dict[str, Points]] = {}
    for step, name, value in rows:
        place = _place(name)
        if place is not None and math.isfinite(value):
            lines.setdefault(place[0], {}).setdefault(place[1], []).append((step, value))
    ordered = sorted(lines, key=_rank)
    return [
        Panel(title=title, lines=lines[title], is_smoothed=not title.startswith(_EXACT))
        for title in ordered
    ]


def smoothed(points: Points) -> Points:
    """Moving average over about a twentieth of the points, unbiased at the start."""
    keep = 1 - 1 / max(1.0, len(points) / 20)
    total = weight = 0.0
    result = []
    for step, value in points:
        total, weight = keep * total + value, keep * weight + 1
        result.append((step, total / weight))
    return result


def svg(drawn: list[Panel], *, title: str) -> str:
    """The panels as a picture of three columns."""
    rows = -(-len(drawn) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, panel in enumerate(drawn):
        x, y = number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT
        parts += [f'<g transform="translate({x},{y})">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _place(name: str) -> tuple[str, str] | None:
    """Panel and label of a value; None for what is no curve."""
    first, _, rest = name.partition("/")
    if first == "weight":
        return None
    if first == "validation":
        way, _, metric = rest.rpartition("/")
        return f"validation {metric}", way
    if rest.startswith("norm_of/"):
        return f"{first}: gradient norm of each term", rest.removeprefix("norm_of/")
    return (f"{first}: {rest.replace('_', ' ')}" if rest else name.replace("_", " ")), ""


def _rank(title: str) -> int:
    """Terms first, in the order of the log; the sort is stable."""
    if title in ("learning rate", "samples per second"):
        return 3
    if ": " in title:
        return 2
    return int(title.startswith("validation"))


@dataclass(frozen=True, kw_only=True)
class _Axis:
    low: float
    high: float
    start: float  # in pixels
    stop: float
    is_log: bool = False

    def at(self, value: float) -> float:
        low, high, value = (self._scaled(v) for v in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """A few round numbers between low and high."""
        if self.high <= self.low:
            return [self.low]
        if self.is_log:
            decades = math.log10(self.high / self.low)
            factors = (1, 2, 5) if decades < 2 else (1,)
            lowest, highest = (math.floor(math.log10(end)) for end in (self.low, self.high))
            exponents = range(lowest, highest + 1, max(1, round(decades / 6)))
            numbers = [factor * 10.0**exponent for exponent in exponents for factor in factors]
            return [number for number in numbers if self.low <= number <= self.high]
        rough = (self.high - self.low) / 4
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [round(step * k, digits) for k in range(first, last + 1)]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.is_log else value


def _panel(panel: Panel) -> list[str]:
    shown = {label: smoothed(p) if panel.is_smoothed else p for label, p in panel.lines.items()}
    steps = [step for points in panel.lines.values() for step, _ in points]
    x = _Axis(low=min(steps), high=max(steps), start=_LEFT, stop=WIDTH - _RIGHT)
    y = _value_axis([value for points in panel.lines.values() for _, value in points])
    parts = [f'<text class="title" x="{_LEFT}" y="16">{escape(panel.title)}</text>']
    parts += _grid(x, y)
    for number, (label, points) in enumerate(panel.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        if panel.is_smoothed:
            parts.append(_path(points, x, y, colour, "raw"))
        parts.append(_path(shown[label], x, y, colour, "line"))
        if label:
            row = _TOP + 12 + 13 * number
            parts.append(
                f'<text x="{WIDTH - _RIGHT - 6}" y="{row}" text-anchor="end" '
                f'style="fill:{colour}">{escape(label)}</text>'
            )
    return parts


def _value_axis(values: list[float]) -> _Axis:
    """From a little below to a little above; logarithmic where values span decades."""
    low, high = min(values), max(values)
    bottom, top = HEIGHT - _BOTTOM, _TOP
    if low > 0 and high / low > _LOG_FROM:
        return _Axis(low=low, high=high, start=bottom, stop=top, is_log=True)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return _Axis(low=low - margin, high=high + margin, start=bottom, stop=top)


def _grid(x: _Axis, y: _Axis) -> list[str]:
    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM
    parts = []
    for tick in y.ticks():
        at = f"{y.at(tick):.1f}"
        parts.append(f'<path class="grid" d="M{left},{at}H{right}"/>')
        parts.append(f'<text x="{left - 4}" y="{at}" dy="4" text-anchor="end">{tick:.6g}</text>')
    for tick in x.ticks():
        at = f"{x.at(tick):.1f}"
        parts.append(f'<text x="{at}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>')
    size = f'width="{right - left}" height="{bottom - top}"'
    return [*parts, f'<rect class="frame" x="{left}" y="{top}" {size}/>']


def _path(points: Points, x: _Axis, y: _Axis, colour: str, kind: str) -> str:
    places = [f"{x.at(step):.1f},{y.at(value):.1f}" for step, value in _thinned(points)]
    path = f'<path class="{kind}" stroke="{colour}" d="M{" ".join(places)}"/>'
    if len(places) > _MOST_DOTS or kind == "raw":
        return path
    dots = (place.split(",") for place in places)
    circles = [f'<circle cx="{cx}" cy="{cy}" r="2.5" fill="{colour}"/>' for cx, cy in dots]
    return "".join([path, *circles])


def _thinned(points: Points) -> Points:
    """At most so many points, the lowest and the highest of each stretch, so that peaks stay."""
    if len(points) <= _MOST_POINTS:
        return points
    size = -(-len(points) // (_MOST_POINTS // 2))
    kept: Points = []
    for begin in range(0, len(points), size):
        stretch = points[begin : begin + size]
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(ends)
    return kept
