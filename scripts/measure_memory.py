"""Peak memory of `hfdiff upscale` by size of picture: what it holds beyond the decoded input.

    python scripts/measure_memory.py --model identity --repeat 3
    python scripts/measure_memory.py --sizes 5000x3750 --formats png jpg tiff --model identity

Pictures of the sizes are made (noise upon a slope, 8 bits, RGB) and enlarged in a process each.
Options that it does not know are given to `hfdiff upscale`. Two figures a size: what is held beyond
the decoded input, and beyond the one output buffer as well. That is the whole output for WebP and
AVIF; for PNG, JPEG and TIFF it is the rows that one row of tiles finishes, with the model's own
factor and tile. Unix only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from hfdiff.model.find import find_model
from hfdiff.model.model_file import describe
from hfdiff.upscaling.cutting import plan_tiles
from hfdiff.upscaling.options import UpscaleOptions

GATHERED = ("webp", "avif")
CHANNELS = 3


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["1000x750", "2000x1500"])
    parser.add_argument("--formats", nargs="+", default=["png"])
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--model")
    arguments, options = parser.parse_known_args()
    options += ["--model", arguments.model] if arguments.model else []
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.formats:
            held: list[tuple[float, float]] = []
            for size in arguments.sizes:
                width, height = map(int, size.split("x"))
                source = Path(folder) / f"{size}.png"
                _scene(width, height).save(source)
                target = Path(folder) / f"out.{kind}"
                peaks = [_peak(source, target, options) for _ in range(arguments.repeat)]
                beyond = sum(peaks) / len(peaks) - CHANNELS * width * height / 1e6
                buffer = _output_buffer(width, height, kind, arguments.model)
                held.append((beyond, beyond - buffer))
                print(
                    f"{kind} {size}: peak {', '.join(f'{peak:.0f}' for peak in peaks)} MB; beyond "
                    f"the input {beyond:.0f} MB, and the output buffer {beyond - buffer:.0f} MB",
                    flush=True,
                )
            if len(held) > 1:
                growth = [max(figures) / min(figures) - 1 for figures in zip(*held, strict=True)]
                print(f"{kind}: largest over smallest {growth[0]:+.1%}, and {growth[1]:+.1%}")


def _output_buffer(width: int, height: int, kind: str, model: str | None) -> float:
    """Megabytes (1e6 bytes) of output that must be held at once."""
    config = describe(find_model(model)).config
    plan = plan_tiles((width, height), UpscaleOptions(), config, has_alpha=False)
    rows = plan.rows.target if kind in GATHERED else plan.rows.most_finished
    return CHANNELS * plan.columns.target * rows / 1e6


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
