"""What importing hfdiff and upscaling a picture must not import (spec 6.13, users 6.4.1)."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

UNWANTED = (
    "torchvision",
    "cv2",
    "scipy",
    "pandas",
    "matplotlib",
    "transformers",
    "accelerate",
    "diffusers",
    "timm",
    "pyiqa",
    "tensorboard",
    "huggingface_hub",
)


def fresh(program, *arguments, options=()):
    """Run a program in a process of its own; it ends by naming what must not be there."""
    command = [sys.executable, *options, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


CHECK = f"""
import sys
found = [name for name in {UNWANTED!r} if name in sys.modules]
sys.exit(" ".join(found) or 0)
"""


def test_importing_hfdiff_imports_neither_torch_nor_numpy():
    done = fresh("import hfdiff, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)")

    assert done.returncode == 0, done.stderr


def test_importing_hfdiff_gives_no_warning():
    done = fresh("import hfdiff; hfdiff.Upscaler", options=("-W", "error"))

    assert done.returncode == 0, done.stderr


UPSCALE = """
import sys
from pathlib import Path
from hfdiff import UpscaleOptions, Upscaler
from hfdiff.upscaling.options import Naming
from hfdiff.upscaling.plan import plan_work
from hfdiff.upscaling.run import run_plan
options = UpscaleOptions()
plan = plan_work([sys.argv[1]], Naming(output=Path(sys.argv[2])), options, model_scale=4)
records = list(run_plan(plan, Upscaler.from_pretrained("identity", device="cpu"), options))
assert [record.status for record in records] == ["done"], records
"""


def test_upscaling_a_picture_imports_nothing_unwanted(tmp_path):
    source = tmp_path / "a.png"
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(source)

    done = fresh(UPSCALE + CHECK, source, tmp_path / "b.png")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b.png").is_file()


@pytest.mark.parametrize("command", [["models"], ["info"], ["upscale", "a.png"]])
def test_commands_import_nothing_unwanted(tmp_path, command):
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "a.png")
    program = f"""
import os, sys
os.chdir({str(tmp_path)!r})
from hfdiff.cli.main import run
try:
    run()
except SystemExit as end:
    assert not end.code, end.code
"""

    done = fresh(program + CHECK, *command)

    assert done.returncode == 0, done.stderr
