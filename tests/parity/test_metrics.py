"""Metrics against published per-picture values, and against a scorer written independently.

The published values are those of OSEDiff's results on RealSR (pyiqa 0.1.10); its pictures are for
measuring only and stay outside the repository.
"""

import csv
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from hfdiff.core import fetch
from hfdiff.metrics.table import METRICS
from scenes import gt_of, sr_of
from support import shared

pytestmark = pytest.mark.parity

PUBLISHED = ("Canon_003", "Canon_020", "Canon_041", "Nikon_007", "Nikon_035", "Nikon_041")
# Our name, the published column, how far our value may be off.
COLUMNS = [
    ("psnr_y", "psnr", 1e-4),
    ("ssim_y", "ssim", 1e-5),
    ("lpips", "lpips", 1e-4),
    ("dists", "dists", 1e-4),
    ("niqe", "niqe", 1e-2),
]
# score.py beside the checkout, run on these drawn pictures saved as PNG, torch 2.13.0 on a CPU.
SCORED = {
    "psnr_y": {"waves": 39.8870141, "bricks": 30.0715871, "rings": 33.4611574, "slope": 40.0054020},
    "ssim_y": {"waves": 0.96256535, "bricks": 0.90693945, "rings": 0.98192021, "slope": 0.90511431},
    "lpips": {"waves": 0.00190537, "bricks": 0.03222558, "rings": 0.00179927, "slope": 0.01616880},
    "lpips_vgg": {
        "waves": 0.02938783,
        "bricks": 0.06651179,
        "rings": 0.00460447,
        "slope": 0.11491906,
    },
    "dists": {"waves": 0.04008949, "bricks": 0.11002076, "rings": 0.02469331, "slope": 0.05682170},
}


@cache
def loaded(name):
    missing = [key for key in METRICS[name].weights if fetch.stored_hash(key) is None]
    if missing:
        pytest.skip(f"weights {missing[0]} are not stored (hfdiff weights get {missing[0]})")
    return METRICS[name].load(torch.device("cpu"))


def opened(path):
    levels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32)
    return torch.from_numpy(levels / 255).permute(2, 0, 1)[None]


@pytest.mark.parametrize("stem", PUBLISHED)
@pytest.mark.parametrize(("name", "column", "tolerance"), COLUMNS)
def test_a_published_result_has_its_published_value(name, column, tolerance, stem):
    folder = shared("data/eval/RealSR")
    with (folder / "osediff_metrics.csv").open() as stream:
        rows = {row["picture"]: row for row in csv.DictReader(stream)}
    sr, gt = (opened(folder / kind / f"{stem}.webp") for kind in ("osediff_sr", "gt"))

    value = loaded(name)(sr, gt if METRICS[name].needs_gt else None).item()

    assert value == pytest.approx(float(rows[stem][column]), abs=tolerance)


@pytest.mark.parametrize("name", SCORED)
def test_drawn_pictures_have_the_values_of_an_independent_scorer(name):
    values = {scene: loaded(name)(sr_of(scene), gt_of(scene)).item() for scene in SCORED[name]}

    assert values == pytest.approx(SCORED[name], abs=1e-6)
