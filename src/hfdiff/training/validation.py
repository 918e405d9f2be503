"""Validation through the `Upscaler` that users run, on the averaged weights (spec 5.10)."""

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hfdiff.data.validation import Pair
from hfdiff.imaging.files import write_picture
from hfdiff.imaging.picture import Picture
from hfdiff.imaging.pixels import (
    clamped_01_from_pm1,
    pm1_from_01,
    samples_from_01,
    samples_to_01,
)
from hfdiff.imaging.resize import enlarge_cubic
from hfdiff.metrics.table import METRICS, Metric
from hfdiff.model.model_file import Description
from hfdiff.model.sr_model import SRModel
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.upscaler import Upscaler

_log = logging.getLogger(__name__)
Enlarge = Callable[[np.ndarray, np.ndarray], np.ndarray]
METRIC_NAMES = ("psnr_y", "lpips", "dists")
_SHOWN = 6


def validate_pairs(
    pairs: list[Pair], ways: Mapping[str, Enlarge], folder: Path
) -> dict[str, float]:
    """Means of `score_pairs`: ``way/metric`` and the value."""
    scores = score_pairs(pairs, ways, folder)
    return {name: float(np.mean(values)) for name, values in scores.items()}


def score_pairs(
    pairs: list[Pair], ways: Mapping[str, Enlarge], folder: Path
) -> dict[str, list[float]]:
    """``way/metric`` of every picture and way to make an sr of (lq, gt); a sheet of the first ones.

    Args:
        pairs: (name, lq, gt) as ``[h, w, 3]`` uint8.
        ways: Name and function (lq, gt) -> sr, uint8.
        folder: Where the sheet (lq enlarged, each way, gt) is written.
    """
    if pairs:
        _log.info("measuring %s on %d pictures", ", ".join(ways), len(pairs))
    metrics = load_metrics() if pairs else {}
    values: dict[str, list[float]] = {}
    rows = []
    for index, (_, lq, gt) in enumerate(pairs):
        made = {name: way(lq, gt) for name, way in ways.items()}
        for name, sr in made.items():
            for metric, measure in metrics.items():
                with torch.inference_mode():
                    score = measure(samples_to_01(sr), samples_to_01(gt))
                values.setdefault(f"{name}/{metric}", []).append(float(score))
        if index < _SHOWN:
            enlarged = _enlarged(lq, len(gt) // len(lq))
            rows.append(np.concatenate([enlarged, *made.values(), gt], axis=1))
    if rows:
        width = max(row.shape[1] for row in rows)
        padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
        write_picture(Picture(samples=np.concatenate(padded)), folder / "sheet.png", "PNG")
    return values


@lru_cache(maxsize=1)
def load_metrics() -> Mapping[str, Metric]:
    """The metrics of validation, on the CPU, where every machine measures the same.

    Raises:
        CheckpointError: when their weights are not on this machine, with the command to get them.
    """
    return {name: METRICS[name].load(torch.device("cpu")) for name in METRIC_NAMES}


def upscaler_way(model: SRModel, description: Description, *, steps: int = 1) -> Enlarge:
    """What `hfdiff upscale` does with this model."""
    upscaler = Upscaler(model, description, device=str(next(model.parameters()).device))

    def enlarge(lq: np.ndarray, gt: np.ndarray) -> np.ndarray:  # noqa: ARG001
        return upscaler.upscale(Picture(samples=lq), UpscaleOptions(steps=steps)).samples

    return enlarge


def decoded_way(model: SRModel, latent: Callable[[Tensor, Tensor], Tensor]) -> Enlarge:
    """Decode some latent of (lq_pm1, gt_pm1): of the gt, the ceiling; of the lq, y itself."""

    @torch.inference_mode()
    def enlarge(lq: np.ndarray, gt: np.ndarray) -> np.ndarray:
        device = next(model.parameters()).device
        lq_pm1, gt_pm1 = (pm1_from_01(samples_to_01(p).to(device)) for p in (lq, gt))
        return _u8(model.decode(latent(lq_pm1, gt_pm1), lq_pm1))

    return enlarge


def _enlarged(lq: np.ndarray, factor: int) -> np.ndarray:
    return _u8(enlarge_cubic(pm1_from_01(samples_to_01(lq)), factor))


def _u8(picture_pm1: Tensor) -> np.ndarray:
    return samples_from_01(clamped_01_from_pm1(picture_pm1.float())[0], np.dtype(np.uint8))
