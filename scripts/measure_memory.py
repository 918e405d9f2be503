"""Peak memory of `hfdiff upscale` by size of picture: what it holds beyond the decoded input.

    python scripts/measure_memory.py --model identity --repeat 3
    python scripts/measure_memory.py --sizes 5000x3750 --formats png jpg tiff --model identity

Pictures of the sizes are made (noise upon a slope, 8 bits, RGB) and enlarged in a process each.
Options that it does not know are given to `hfdiff upscale`. PNG, JPEG and TIFF are written as
tiles are finished, so no output buffer is taken off; of WebP and AVIF, which are, it is.
Unix only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

GATHERED = ("webp", "avif")
SCALE = 4


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["1000x750", "2000x1500"])
    parser.add_argument("--formats", nargs="+", default=["png"])
    parser.add_argument("--repeat", type=int, default=1)
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.formats:
            beyond: list[float] = []
            for size in arguments.sizes:
                width, height = map(int, size.split("x"))
                source = Path(folder) / f"{size}.png"
                _scene(width, height).save(source)
                peaks = [
                    _peak(source, Path(folder) / f"out.{kind}", options)
                    for _ in range(arguments.repeat)
                ]
                held = 3 * width * height * (1 + SCALE**2 * (kind in GATHERED)) / 1e6
                beyond.append(sum(peaks) / len(peaks) - held)
                print(
                    f"{kind} {size}: peak {', '.join(f'{peak:.0f}' for peak in peaks)} MB; "
                    f"beyond {'input and output' if kind in GATHERED else 'the input'} "
                    f"{beyond[-1]:.0f} MB"
                )
            if len(beyond) > 1:
                print(f"{kind}: largest over smallest {max(beyond) / min(beyond) - 1:+.1%}")


def _scene(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(0)
    slope = np.linspace(0, 200, width)[None, :, None]
    samples = np.empty((height, width, 3), np.uint8)
    for row in samples:
        row[:] = slope[0] + rng.integers(0, 50, (width, 3))
    return Image.fromarray(samples)


def _peak(source: Path, target: Path, options: list[str]) -> float:
    """Megabytes (1e6 bytes) that the command held at most."""
    command = [sys.executable, "-m", "hfdiff", "upscale", str(source), "-o", str(target)]
    command += ["--overwrite", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


if __name__ == "__main__":
    main()
