"""Failures noticed (spec 6.6): memory that runs out, and answers that cannot be right."""

import gc
import weakref

import numpy as np
import pytest
import torch

from hfdiff.core.errors import ResourceError
from hfdiff.imaging.picture import Picture
from hfdiff.model.build import build_codec
from hfdiff.model.find import find_model
from hfdiff.model.model_file import load_model
from hfdiff.model.sr_model import SRModel
from hfdiff.upscaling.health import fault_of
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.upscaler import Upscaler


def scene(height=60, width=90):
    rng = np.random.default_rng(0)
    slope = np.linspace(20, 220, width)[None, :, None] + rng.integers(0, 20, (height, width, 3))
    return Picture(samples=slope.clip(0, 255).astype(np.uint8))


def upscaler_with(answer, dtype="float32"):
    """An upscaler on the CPU whose denoiser is a function of what the identity would answer."""
    _, description = load_model(find_model("identity"))

    class Denoiser(torch.nn.Module):
        def forward(self, x, t, lq_pm1):
            return answer(lq_pm1)

    model = SRModel(description.config, Denoiser(), build_codec(description.config))
    return Upscaler(model, description, device="cpu", dtype=dtype)


def bounded(most, error=None):
    """Answers for so many lq pixels at once; memory runs out above."""

    def answer(lq_pm1):
        if lq_pm1.shape[0] * lq_pm1.shape[2] * lq_pm1.shape[3] > most:
            raise error or torch.OutOfMemoryError("no memory")
        return lq_pm1

    return answer


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_out_of_memory_halves_the_tile_and_says_so(identity, error):
    options = UpscaleOptions(tile=64, overlap=8)

    enlarged = upscaler_with(bounded(32 * 32, error)).enlarge(scene(), options)

    wanted = identity.upscale(scene(), UpscaleOptions(tile=32, overlap=8))
    assert np.array_equal(enlarged.picture.samples, wanted.samples)
    assert enlarged.options.tile == 32
    assert enlarged.retries == 1
    assert enlarged.notes == ("out of memory with tiles of 64 pixels: 32 instead",)


def test_it_halves_as_often_as_needed_and_gives_up_batches_first():
    options = UpscaleOptions(tile=60, overlap=4, batch=4)

    enlarged = upscaler_with(bounded(23 * 23)).enlarge(scene(60, 90), options)

    assert enlarged.notes == (
        "out of memory with 2 tiles at once: one at a time",
        "out of memory with tiles of 60 pixels: 30 instead",
        "out of memory with tiles of 30 pixels: 15 instead",
    )
    assert (enlarged.options.batch, enlarged.options.tile) == (1, 15)


def test_a_tile_that_always_runs_out_of_memory_fails():
    with pytest.raises(ResourceError, match="even for tiles of 16 pixels one at a time"):
        upscaler_with(bounded(0)).enlarge(scene(), UpscaleOptions(tile=64, overlap=8))


def test_other_errors_are_not_taken_for_lack_of_memory():
    calls = []

    def answer(lq_pm1):
        calls.append(1)
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        upscaler_with(answer).upscale(scene(), UpscaleOptions(tile=64, overlap=8))
    assert len(calls) == 1


def test_memory_of_the_first_try_is_free_before_the_second():
    held = []

    def answer(lq_pm1):
        gc.collect()
        assert not [one for one in held if one() is not None]
        if lq_pm1.shape[-1] > 40:
            large = torch.zeros(10)
            held.append(weakref.ref(large))
            raise torch.OutOfMemoryError("no memory")
        return lq_pm1

    upscaler_with(answer).upscale(scene(), UpscaleOptions(tile=64, overlap=8))

    assert len(held) == 1


FAULTS = {
    "not finite": lambda good: torch.full_like(good, torch.nan),
    "far out of range": lambda good: good * 1000,
    "flat": lambda good: torch.full_like(good, -1.0),  # black
    "far off in colour": lambda good: (good + 1.2).clamp(-1.3, 1.3).flip(-1) * 0.9,
}


def faulty(fault, at=3, *, in_float32=False):
    """One tile comes out wrong in half precision, and if wanted in float32 too."""
    left = [at]

    def answer(lq_pm1):
        reduced = torch.is_autocast_enabled("cpu")
        left[0] -= reduced or in_float32
        return FAULTS[fault](lq_pm1) if left[0] == 0 and (reduced or in_float32) else lq_pm1

    return answer


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_tile_that_cannot_be_right_is_redone_in_float32(identity, fault, batch):
    """users 6.3.4."""
    options = UpscaleOptions(tile=40, overlap=8, batch=batch)
    upscaler = upscaler_with(faulty(fault, at=2), dtype="bfloat16")

    enlarged = upscaler.enlarge(scene(), options)

    wanted = upscaler_with(lambda good: good, dtype="bfloat16").upscale(scene(), options)
    assert enlarged.retries == len(enlarged.notes) == batch
    assert all(f"was redone in float32: it was {fault}" in note for note in enlarged.notes)
    difference = np.abs(enlarged.picture.samples.astype(int) - wanted.samples)
    assert difference.max() <= 2


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_tile_that_keeps_failing_fails_the_picture(fault, dtype):
    upscaler = upscaler_with(lambda good: FAULTS[fault](good), dtype=dtype)

    with pytest.raises(ResourceError, match=f"for the tile at row 0, column 0 is {fault}"):
        upscaler.upscale(scene(), UpscaleOptions(tile=40, overlap=8))


@pytest.mark.parametrize("level", [-1.0, -0.5, 0.0, 1.0])
def test_flat_pictures_may_have_flat_answers(level):
    lq = torch.full((3, 20, 30), level)

    assert fault_of(torch.full((3, 80, 120), level), lq) is None
    assert fault_of(torch.full((3, 80, 120), -level if level else 0.6), lq) is not None


def test_a_smoothed_answer_is_no_fault():
    """Noise on a flat ground may be taken away entirely, and colours may move a little."""
    noise = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.15
    sr = torch.linspace(-0.1, 0.1, 128).expand(3, 128, 128)

    assert fault_of(sr + 0.1, noise) is None


def test_what_progress_raises_cancels_and_leaves_nothing(identity):
    class Enough(Exception):
        pass

    seen = []

    def stop(done, total):
        seen.append((done, total))
        if done == 2:
            raise Enough

    image = scene().samples
    with pytest.raises(Enough):
        identity(image, tile=32, overlap=8, on_progress=stop)

    assert seen == [(1, 12), (2, 12)]
    assert identity(image).shape == (240, 360, 3)


def test_a_closed_upscaler_refuses_and_holds_nothing():
    with Upscaler.from_pretrained("identity", device="cpu") as upscaler:
        networks = weakref.ref(upscaler.model)
        upscaler(scene().samples)

    gc.collect()
    assert networks() is None
    with pytest.raises(ResourceError, match="this upscaler was closed"):
        upscaler(scene().samples)
