"""No float array of a whole picture anywhere (spec 12, users 6.5.9)."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hfdiff.imaging.picture import Picture
from hfdiff.upscaling.options import UpscaleOptions


class LargestTensor(TorchDispatchMode):
    """Notes the largest float tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
                self.numbers = max(self.numbers, leaf.numel())
        return result


def test_a_picture_of_4096_makes_no_float_larger_than_a_tile(identity, monkeypatch):
    side, tile, overlap = 4096, 256, 16
    picture = Picture(samples=np.zeros((side, side, 3), np.uint8))
    arrays = []
    real = np.ascontiguousarray
    monkeypatch.setattr(
        np, "ascontiguousarray", lambda *a, **k: (arrays.append((r := real(*a, **k)).size), r)[1]
    )

    with LargestTensor() as largest:
        better = identity.upscale(picture, UpscaleOptions(tile=tile, overlap=overlap))

    assert better.samples.shape == (4 * side, 4 * side, 3)
    one_tile = 3 * (4 * tile) ** 2
    one_strip_of_overlap = 3 * (4 * overlap) * (4 * side)
    assert largest.numbers <= max(one_tile, one_strip_of_overlap)
    assert max(arrays) <= 3 * tile**2


def test_a_small_picture_makes_no_float_larger_than_a_tile(identity):
    picture = Picture(samples=np.zeros((200, 200, 3), np.uint8))

    with LargestTensor() as largest:
        identity.upscale(picture, UpscaleOptions(tile=32, overlap=8))

    assert 0 < largest.numbers <= 3 * (4 * 32) ** 2


MANY = """
import json, os, sys, threading
import numpy as np
from pathlib import Path
from PIL import Image
from hfdiff.upscaling.options import Naming, UpscaleOptions
from hfdiff.upscaling.plan import plan_work
from hfdiff.upscaling.run import run_plan
from hfdiff.upscaling.upscaler import Upscaler

way, count = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
sizes = [(int(h), int(w)) for h, w in rng.integers(20, 140, (count, 2))]
upscaler = Upscaler.from_pretrained("identity", device="cpu")
options = UpscaleOptions(tile=64, overlap=8)
Path("in").mkdir()

def state():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    open_files = len(os.listdir("/proc/self/fd"))
    return pages * os.sysconf("SC_PAGESIZE"), open_files, threading.active_count()

def calls():
    for size in sizes:
        yield upscaler(rng.integers(0, 256, (*size, 3), dtype=np.uint8), tile=64, overlap=8)

def files():
    for number, size in enumerate(sizes):
        samples = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(samples).save(f"in/{number:04}." + ("png", "jpg")[number % 2])
    plan = plan_work(["in"], Naming(output=Path("out")), options, model_scale=4)
    yield from run_plan(plan, upscaler, options)

states = []
for number, _ in enumerate({"calls": calls, "files": files}[way](), 1):
    if number in (count // 10, count):
        states.append(state())
print(json.dumps(states))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of a process")
@pytest.mark.parametrize("way", ["calls", "files"])
def test_memory_is_flat_over_1000_pictures(tmp_path, way):
    """users 6.4.10: after 100 and after 1,000 within 3 %; open files and threads as they were."""
    command = [sys.executable, "-c", MANY, way, "1000"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    (early, *first), (late, *last) = json.loads(done.stdout)
    assert abs(late / early - 1) < 0.03, (early, late)
    assert first == last
