"""`hfdiff convert` and `upscale` at the published sizes, with the weights of the recipe."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hfdiff.model.model_file import describe
from hfdiff.nn.autoencoder import VQAutoencoder, VQAutoencoderConfig
from hfdiff.nn.swin_unet import SwinUNet, SwinUNetConfig
from support import fill_by_recipe

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
HFDIFF = Path(sys.executable).with_name("hfdiff")


@dataclass(frozen=True)
class Done:
    """What a command printed, and what it took."""

    out: str
    seconds: float
    megabytes: float


def measured(*arguments) -> Done:
    """Run the installed command; its peak memory is that of its own process."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(HFDIFF), *map(str, arguments)], stdout=subprocess.PIPE)
    out = process.stdout.read().decode()
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, out
    return Done(out, time.perf_counter() - begin, usage.ru_maxrss / 1024)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two .pth files as published, filled by the recipe of the recorded values."""
    folder = tmp_path_factory.mktemp("published")
    unet, autoencoder = SwinUNet(SwinUNetConfig()), VQAutoencoder(VQAutoencoderConfig())
    torch.save(fill_by_recipe(unet).state_dict(), folder / "SinSR_v1.pth")
    state = fill_by_recipe(autoencoder).state_dict()
    torch.save({"state_dict": state}, folder / "autoencoder_vq_f4.pth")
    return folder


@pytest.fixture(scope="module")
def converted(folder):
    """The model file, and what making it took."""
    done = measured(
        *("convert", folder / "SinSR_v1.pth", "-a", folder / "autoencoder_vq_f4.pth"),
        *("-o", folder / "sinsr.safetensors"),
    )
    return folder / "sinsr.safetensors", done


def test_convert_counts_the_published_parameters_and_states_the_licence(converted, capsys):
    path, done = converted
    with capsys.disabled():
        sys.stdout.write(f"\nconvert: {done.seconds:.1f} s, {done.megabytes:.0f} MB\n")

    assert "SinSR_v1, 118,593,583 + 55,322,782 parameters" in done.out
    assert "licence: denoiser: CC BY-NC-SA 4.0" in done.out
    assert describe(path).config.scale == 4
    assert done.megabytes < 2500


def test_info_describes_the_converted_model(converted):
    said = measured("info", converted[0]).out

    assert "swin_unet, 118,593,583 parameters" in said
    assert "vq, 55,322,782 parameters" in said
    assert "CC BY-NC-SA 4.0" in said


@pytest.mark.parametrize(("side", "limit"), [(64, 2500), (128, 4000)])
def test_the_converted_model_enlarges_a_picture(converted, folder, capsys, side, limit):
    # About the middle of the range, as the answers of weights that learned nothing are: of another
    # picture they would be refused as far off in colour.
    y, x = np.mgrid[:side, :side]
    scene = np.stack([x, y, (x + y) // 2], axis=2) * 64 // side + 96
    Image.fromarray(scene.astype(np.uint8)).save(folder / f"{side}.png")

    done = measured(
        "upscale", folder / f"{side}.png", "-m", converted[0], "-o", folder / f"{side}_out.png"
    )

    with capsys.disabled():
        sys.stdout.write(
            f"\nupscale {side}x{side}: {done.seconds:.1f} s, {done.megabytes:.0f} MB\n"
        )
    with Image.open(folder / f"{side}_out.png") as better:
        assert better.size == (4 * side, 4 * side)
        assert np.asarray(better).std() > 1
    assert done.megabytes < limit
