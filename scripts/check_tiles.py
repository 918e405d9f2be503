"""How far a model's tiled pictures are from untiled ones, in grey levels of 8 bit.

Usage: python scripts/check_tiles.py MODEL FOLDER [--halo N] [--tiles 72,88,104] [--pictures 10]

The pictures of FOLDER are taken as lq. Prints, per precision and tile side: the largest difference,
and the share of values that differ by more than one level.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from hfdiff.imaging.files import read_picture
from hfdiff.model.find import find_model
from hfdiff.model.model_file import load_model
from hfdiff.model.sr_model import SRModel
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.upscaler import Upscaler


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--halo", type=int)
    parser.add_argument("--tiles", default="72,88,104")
    parser.add_argument("--pictures", type=int, default=10)
    asked = parser.parse_args()
    model, description = load_model(find_model(asked.model))
    if asked.halo is not None:
        config = replace(model.config, halo=asked.halo, overlap=2 * asked.halo)
        model = SRModel(config, model.network, model.codec)
        description = replace(description, config=config)
    pictures = [read_picture(path) for path in sorted(asked.folder.iterdir())[: asked.pictures]]
    for precision in ("float32", "bfloat16"):
        upscaler = Upscaler(model, description, device="cpu", dtype=precision)
        whole = [upscaler.upscale(p, UpscaleOptions(tile=0)).samples for p in pictures]
        for tile in map(int, asked.tiles.split(",")):
            apart = []
            for picture, expected in zip(pictures, whole, strict=True):
                got = upscaler.upscale(picture, UpscaleOptions(tile=tile)).samples
                apart.append(np.abs(got.astype(int) - expected.astype(int)).ravel())
            levels = np.concatenate(apart)
            print(
                f"{precision}, tile {tile}: at most {levels.max()} levels, "
                f"{(levels > 1).mean():.4%} beyond one, {(levels > 4).sum()} values beyond four"
            )


if __name__ == "__main__":
    main()
