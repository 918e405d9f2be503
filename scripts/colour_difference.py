"""How far the colours of enlarged pictures are from the gt's, without their detail.

Both are averaged over squares of 16 pixels and compared by CIEDE2000; the mean over all squares and
pictures of one name is printed. Needs scikit-image, which the package does not.

Usage: python scripts/colour_difference.py SR GT
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

SIDE = 16


def averaged(path: Path) -> np.ndarray:
    """Mean sRGB of every square, ``[h, w, 3]`` in [0, 1]."""
    samples = np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) / 255
    height, width = (length // SIDE for length in samples.shape[:2])
    cut = samples[: height * SIDE, : width * SIDE]
    return cut.reshape(height, SIDE, width, SIDE, 3).mean((1, 3))


def main() -> None:
    """See the module."""
    made, wanted = map(Path, sys.argv[1:])
    of_name = {path.stem: path for path in wanted.iterdir()}
    apart = []
    for sr in sorted(made.glob("*.png")):
        difference = deltaE_ciede2000(rgb2lab(averaged(sr)), rgb2lab(averaged(of_name[sr.stem])))
        apart.append(float(difference.mean()))
    print(f"{len(apart)} pictures: mean {np.mean(apart):.3f}, worst picture {max(apart):.3f}")


if __name__ == "__main__":
    main()
