"""Upscale a sample photograph and show before and after side by side.

Run by `make demo`; writes into the folder demo/ beside the project's README.
"""

from pathlib import Path

import numpy as np

from hfdiff.imaging.files import read_picture, write_picture
from hfdiff.imaging.picture import Picture
from hfdiff.model.find import DEFAULT_MODEL
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.upscaler import Upscaler

HERE = Path(__file__).parent
SAMPLE = HERE / "pictures" / "dog.png"
OUT = HERE.parent / "demo"

upscaler = Upscaler.from_pretrained()
before = read_picture(SAMPLE)
after = upscaler.upscale(before, UpscaleOptions())
scale = upscaler.model.scale
pixels = np.repeat(np.repeat(before.samples, scale, axis=0), scale, axis=1)
result, both = OUT / f"{SAMPLE.stem}_x{scale}.png", OUT / "before_after.png"
write_picture(after, result, "PNG")
write_picture(Picture(samples=np.concatenate([pixels, after.samples], axis=1)), both, "PNG")
print(f"model {DEFAULT_MODEL}: {before.width}x{before.height} -> {after.width}x{after.height}")
print(f"result: {result}")
print(f"before and after: {both}")
