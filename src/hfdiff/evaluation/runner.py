"""Measure results: every picture by every metric of a protocol; nothing is left out in silence."""

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hfdiff.core.devices import resolve_device
from hfdiff.core.errors import CheckpointError, ImageError, SettingsError
from hfdiff.evaluation.pairs import Pair, Pairing, find_pairs, read_rgb_01
from hfdiff.metrics.bootstrap import Interval, bootstrap_interval
from hfdiff.metrics.protocols import PROTOCOLS, Protocol
from hfdiff.metrics.table import METRICS, Metric, identity, metric_spec


@dataclass(frozen=True, kw_only=True)
class PictureValues:
    """What was measured on one picture.

    Attributes:
        name: Of the sr.
        values: By metric; infinite for equal pictures where a metric says so.
        reasons: By metric, why there is no value.
        failure: Why nothing could be measured; empty if something was.
    """

    name: str
    values: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class NotComputed:
    """A metric that could not run at all.

    Attributes:
        metric: Its name.
        reason: One sentence.
        remedy: What makes it run.
    """

    metric: str
    reason: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A whole evaluation; enough to make every table again without the pictures.

    Attributes:
        protocol: How the numbers were made.
        sr: What was measured.
        gt: What it was compared with, None without.
        pictures: In the order of their names.
        metrics: Names of those that ran.
        not_computed: Those that could not.
        identities: By metric: definition and hashes of weights.
        left_out: gt pictures without an sr.
        versions: Of the software that decides numbers.
        device: Where it ran.
        seed: Of the bootstrap.
    """

    protocol: Protocol
    sr: Path
    gt: Path | None
    pictures: tuple[PictureValues, ...]
    metrics: tuple[str, ...]
    not_computed: tuple[NotComputed, ...]
    identities: Mapping[str, Mapping[str, str]]
    left_out: tuple[str, ...]
    versions: Mapping[str, str]
    device: str
    seed: int

    @property
    def failures(self) -> tuple[PictureValues, ...]:
        """Pictures on which nothing could be measured."""
        return tuple(picture for picture in self.pictures if picture.failure)

    def interval(self, metric: str) -> Interval | None:
        """Mean over the pictures that have a value, with its interval; None where none has."""
        values = [p.values[metric] for p in self.pictures if metric in p.values]
        return bootstrap_interval(values, seed=self.seed) if values else None

    def worst_first(self) -> list[PictureValues]:
        """Measured pictures by their mean rank over the metrics, the worst first."""
        measured = [picture for picture in self.pictures if not picture.failure]
        ranks = np.zeros(len(measured))
        for metric in self.metrics:
            sign = 1 if METRICS[metric].better == "higher" else -1
            values = np.array([sign * picture.values.get(metric, math.nan) for picture in measured])
            ranks += _standing(values)
        return [measured[i] for i in np.argsort(ranks, kind="stable")]


def evaluate(
    sr: Path,
    gt: Path | None = None,
    *,
    protocol: str = "osediff",
    metrics: Sequence[str] = (),
    device: str = "auto",
    partial: bool = False,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure a picture or a folder of results.

    Args:
        sr: Results: a picture or a folder.
        gt: What they should look like, paired by name; without it only metrics that need none run.
        protocol: A key of PROTOCOLS.
        metrics: Keys of METRICS instead of the protocol's own.
        device: ``auto``, ``cpu``, ``cuda:0``, ``mps``: where networks run.
        partial: Accept gt pictures that have no sr; they are named in the result.
        seed: Of the bootstrap intervals.
        on_progress: Called with pictures done and in all.

    Raises:
        SettingsError: for unknown names, and pictures that do not pair.
    """
    chosen = _protocol(protocol)
    names = tuple(dict.fromkeys(metrics or chosen.metrics))
    for name in names:
        metric_spec(name)
    pairing = find_pairs(sr, gt, partial=partial)
    place = resolve_device(device)
    loaded, not_computed = _load(names, place, with_gt=gt is not None)
    pictures = _measure_all(pairing, loaded, place, on_progress)
    return Evaluation(
        protocol=chosen,
        sr=sr,
        gt=gt,
        pictures=pictures,
        metrics=tuple(loaded),
        not_computed=not_computed,
        identities={name: identity(name) for name in loaded},
        left_out=pairing.left_out,
        versions=_versions(),
        device=str(place),
        seed=seed,
    )


def _protocol(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise SettingsError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {name!r}")
    return PROTOCOLS[name]


def _load(
    names: Sequence[str], device: torch.device, *, with_gt: bool
) -> tuple[dict[str, Metric], tuple[NotComputed, ...]]:
    loaded: dict[str, Metric] = {}
    missing: list[NotComputed] = []
    for name in names:
        if METRICS[name].needs_gt and not with_gt:
            reason = "it compares with a gt and none was given"
            missing.append(NotComputed(metric=name, reason=reason, remedy="give the gt by --gt"))
            continue
        try:
            loaded[name] = METRICS[name].load(device)
        except CheckpointError as error:
            remedy = error.hint or f"hfdiff weights get {name}"
            missing.append(NotComputed(metric=name, reason=str(error), remedy=remedy))
    return loaded, tuple(missing)


def _measure_all(
    pairing: Pairing,
    loaded: Mapping[str, Metric],
    device: torch.device,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[PictureValues, ...]:
    pictures: list[PictureValues] = []
    for pair in pairing.pairs:
        pictures.append(_measure(pair, loaded, device))
        if on_progress is not None:
            on_progress(len(pictures), len(pairing.pairs))
    return tuple(pictures)


def _measure(pair: Pair, loaded: Mapping[str, Metric], device: torch.device) -> PictureValues:
    """All metrics of one picture; its failure is kept and does not stop the others."""
    try:
        sr_01 = read_rgb_01(pair.sr).to(device)
        gt_01 = None if pair.gt is None else read_rgb_01(pair.gt).to(device)
    except ImageError as error:
        return PictureValues(name=pair.name, failure=str(error))
    values, reasons = {}, {}
    for name, metric in loaded.items():
        try:
            values[name] = _value(metric, sr_01, gt_01)
        except ImageError as error:
            reasons[name] = str(error)
    return PictureValues(name=pair.name, values=values, reasons=reasons)


def _value(metric: Metric, sr_01: Tensor, gt_01: Tensor | None) -> float:
    value = metric(sr_01, gt_01).item()
    if math.isnan(value):
        raise ImageError("the metric has no value for this picture (nothing but flat areas)")
    return value


def _standing(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each value the share of others below it, equals counting half; NaN is in the middle."""
    known = values[~np.isnan(values)]
    below = (known < values[:, None]).sum(1) + (known == values[:, None]).sum(1) / 2
    return np.where(np.isnan(values), 0.5, below / max(1, len(known)))


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("hfdiff", "torch", "numpy", "pillow")}
    return {**packages, "python": platform.python_version()}
