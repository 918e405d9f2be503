"""What a lite model makes of latents of several origins: diffusion, or regression in disguise.

Usage: python scripts/compare_ways.py MODEL FOLDER [--pictures 8] [--ways ceiling,y,1] [--seeds 8]

FOLDER holds gt pictures; some of them, evenly spaced by name, are degraded by ``mixed`` with seed
0. Prints PSNR-Y and LPIPS of decode(encode_gt(gt)), of decode(y), and of the model at a number of
steps, and for the first four pictures the standard deviation of grey levels over seeds, where the
middle of the picture is steepest (three tenths of it). ``ceiling`` needs the encoder of the gt.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from hfdiff.data.batches import DataSettings
from hfdiff.data.validation import validation_pairs
from hfdiff.imaging.picture import Picture
from hfdiff.imaging.pixels import samples_to_01
from hfdiff.metrics.table import METRICS
from hfdiff.model.model_file import load_model
from hfdiff.training.validation import Enlarge, decoded_way, upscaler_way
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.upscaler import Upscaler

SHOWN = ("psnr_y", "lpips")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--ways", default="ceiling,y,1")
    parser.add_argument("--seeds", type=int, default=8)
    asked = parser.parse_args()
    model, description = load_model(asked.model)
    pairs = validation_pairs(asked.folder, DataSettings())
    pairs = [pairs[i] for i in np.linspace(0, len(pairs) - 1, asked.pictures).astype(int)]
    decoders: dict[str, Enlarge] = {
        "ceiling": decoded_way(model, lambda lq, gt: model.encode_gt(gt)),  # noqa: ARG005
        "y": decoded_way(model, lambda lq, gt: model.encode_lq(lq)),  # noqa: ARG005
    }
    metrics = {name: METRICS[name].load(torch.device("cpu")) for name in SHOWN}
    for name in asked.ways.split(","):
        way = decoders.get(name) or upscaler_way(model, description, steps=int(name))
        made = [(samples_to_01(way(lq, gt)), samples_to_01(gt)) for _, lq, gt in pairs]
        for metric, measure in metrics.items():
            with torch.inference_mode():
                mean = np.mean([float(measure(sr, gt)) for sr, gt in made])
            print(f"{name}: {metric} {mean:.4f}")
    upscaler = Upscaler(model, description, device="cpu")
    for name, lq, _ in pairs[:4]:
        print(f"{name}: {_spread(upscaler, lq, asked.seeds):.2f} grey levels over seeds")


def _spread(upscaler: Upscaler, lq: np.ndarray, seeds: int) -> float:
    height, width = (side // 4 for side in lq.shape[:2])
    middle = Picture(samples=np.ascontiguousarray(lq[height : 3 * height, width : 3 * width]))
    made = [upscaler.upscale(middle, UpscaleOptions(seed=k)).samples for k in range(seeds)]
    answers = np.stack(made).astype(np.float32)
    steepness = np.hypot(*np.gradient(answers.mean((0, 3))))
    apart = answers.std(0).mean(2)
    return float(apart[steepness > np.quantile(steepness, 0.7)].mean())


if __name__ == "__main__":
    main()
