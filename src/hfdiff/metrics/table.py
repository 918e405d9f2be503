"""METRICS: every metric with what is needed to run it, judge it and repeat it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from hfdiff.core import fetch
from hfdiff.core.errors import SettingsError
from hfdiff.core.weights import content_hash, read_weights
from hfdiff.metrics.dists import dists, load_dists
from hfdiff.metrics.lpips import lpips
from hfdiff.metrics.niqe import niqe
from hfdiff.metrics.psnr import psnr_y
from hfdiff.metrics.ssim import ssim_y
from hfdiff.nn.features import ALEXNET, VGG16
from hfdiff.nn.pretrained import load_lpips

Network = TypeVar("Network", bound=nn.Module)
# (sr_01 [B, 3, H, W], gt_01 of the same shape or None) -> [B]
Metric = Callable[[Tensor, Tensor | None], Tensor]
_PACKAGE = Path(__file__).resolve().parents[1]
_LPIPS_HEADS = "nn/data/lpips_heads.safetensors"


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """A metric.

    Attributes:
        title: Heading of its column.
        better: Which direction is better.
        needs_gt: Whether it compares with a gt.
        low: Least possible value.
        high: Greatest possible value.
        weights: Keys of `hfdiff.core.fetch.WEIGHTS` that must be stored.
        boxed: Weight files inside the package, from its root.
        definition: Colour, range, window, precision: what decides the number. No border is cut.
        load: The metric on a device; raises CheckpointError where weights are missing.
    """

    title: str
    better: Literal["higher", "lower"]
    needs_gt: bool
    low: float
    high: float
    weights: tuple[str, ...] = ()
    boxed: tuple[str, ...] = ()
    definition: str
    load: Callable[[torch.device], Metric]


def _with_gt(measure: Callable[[Tensor, Tensor], Tensor]) -> Metric:
    def metric(sr_01: Tensor, gt_01: Tensor | None) -> Tensor:
        if gt_01 is None:
            raise SettingsError("this metric compares with a gt, got none")
        return measure(sr_01, gt_01)

    return metric


def _plain(measure: Callable[[Tensor, Tensor], Tensor]) -> Callable[[torch.device], Metric]:
    return lambda _: _with_gt(measure)


def _alone(measure: Callable[[Tensor], Tensor]) -> Callable[[torch.device], Metric]:
    return lambda _: lambda sr_01, _: measure(sr_01)


def _on_network(
    load: Callable[[], Network], measure: Callable[[Network, Tensor, Tensor], Tensor]
) -> Callable[[torch.device], Metric]:
    return lambda device: _with_gt(partial(measure, load().to(device)))


METRICS: Mapping[str, MetricSpec] = {
    "psnr_y": MetricSpec(
        title="PSNR-Y",
        better="higher",
        needs_gt=True,
        low=0.0,
        high=math.inf,
        definition="Y of BT.601 in 16..235, not rounded, peak 255, float64, border 0; in dB",
        load=_plain(psnr_y),
    ),
    "ssim_y": MetricSpec(
        title="SSIM-Y",
        better="higher",
        needs_gt=True,
        low=-1.0,
        high=1.0,
        definition="Y of BT.601 in 16..235, rounded, Gaussian 11 sigma 1.5, float64, border 0",
        load=_plain(ssim_y),
    ),
    "lpips": MetricSpec(
        title="LPIPS",
        better="lower",
        needs_gt=True,
        low=0.0,
        high=math.inf,
        weights=("alexnet",),
        boxed=(_LPIPS_HEADS,),
        definition="AlexNet, heads v0.1, RGB in [-1, 1], float32, border 0",
        load=_on_network(partial(load_lpips, ALEXNET), lpips),
    ),
    "lpips_vgg": MetricSpec(
        title="LPIPS (VGG)",
        better="lower",
        needs_gt=True,
        low=0.0,
        high=math.inf,
        weights=("vgg16",),
        boxed=(_LPIPS_HEADS,),
        definition="VGG16, heads v0.1, RGB in [-1, 1], float32, border 0",
        load=_on_network(partial(load_lpips, VGG16), lpips),
    ),
    "dists": MetricSpec(
        title="DISTS",
        better="lower",
        needs_gt=True,
        low=0.0,
        high=1.0,
        weights=("vgg16",),
        boxed=("metrics/data/dists.safetensors",),
        definition="VGG16 with L2 pooling, RGB in [0, 1], no resizing, float32, border 0",
        load=_on_network(load_dists, dists),
    ),
    "niqe": MetricSpec(
        title="NIQE",
        better="lower",
        needs_gt=False,
        low=0.0,
        high=math.inf,
        boxed=("metrics/data/niqe.safetensors",),
        definition="grey 0..255 rounded, blocks of 96, two scales, float64, border 0",
        load=_alone(niqe),
    ),
}


def metric_spec(name: str) -> MetricSpec:
    """The metric of that name.

    Raises:
        SettingsError: for an unknown name, listing the known ones.
    """
    if name not in METRICS:
        raise SettingsError(f"metric must be one of {', '.join(METRICS)}, got {name!r}")
    return METRICS[name]


def identity(name: str) -> dict[str, str]:
    """What decides a metric's number besides the pictures, to be written with every result.

    Returns:
        Its name, direction, definition and the content hashes of its weights.
    """
    spec = METRICS[name]
    hashes = {f"weights {key}": fetch.stored_hash(key) or "not stored" for key in spec.weights}
    for file in spec.boxed:
        hashes[f"weights {Path(file).stem}"] = content_hash(read_weights(_PACKAGE / file)[0])
    return {"name": name, "better": spec.better, "definition": spec.definition, **hashes}
