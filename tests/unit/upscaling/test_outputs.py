"""Outputs grow in their files while tiles are computed, and are the ones made in memory."""

import io

import numpy as np
import pytest
import torch

from hfdiff.imaging.files import encode_picture, read_picture
from hfdiff.imaging.picture import Picture
from hfdiff.upscaling.options import UpscaleOptions, Writing
from hfdiff.upscaling.outputs import write_enlarged

OPTIONS = UpscaleOptions(tile=32, overlap=8)
WITH_ALPHA = UpscaleOptions(tile=40, overlap=16)  # whose margins need so much
PLAIN = Writing(provenance=False)
FORMATS = ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"]


def scene(channels=3, dtype=np.uint8, height=100, width=70):
    rng = np.random.default_rng(channels)
    slope = np.linspace(0, 200, width)[None, :, None]
    samples = (slope + rng.integers(0, 50, (height, width, channels))).astype(np.uint8)
    return Picture(samples=samples * dtype(257) if dtype == np.uint16 else samples)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_file_is_the_one_of_the_picture_made_in_memory(identity, kind, channels, dtype):
    if kind == "JPEG" and channels % 2 == 0:
        pytest.skip("JPEG holds no alpha")
    picture, stream = scene(channels, dtype), io.BytesIO()
    options = OPTIONS if channels % 2 else WITH_ALPHA

    account = write_enlarged(identity, picture, stream, kind, options, PLAIN)

    assert stream.getvalue() == encode_picture(identity.upscale(picture, options), kind)
    assert (account.target_size, account.tiles) == ((280, 400), 12)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_the_first_rows_are_in_the_file_before_the_last_tile_is_computed(identity, kind):
    """users 6.2.12; noise, so that nothing waits for more in a compressor."""
    rng = np.random.default_rng(0)
    picture = Picture(samples=rng.integers(0, 256, (800, 600, 3), dtype=np.uint8))
    stream, sizes = io.BytesIO(), []

    def look(done, total):
        sizes.append(len(stream.getvalue()) if done in (total // 2, total - 1) else 0)

    write_enlarged(identity, picture, stream, kind, UpscaleOptions(tile=64, overlap=8), PLAIN, look)

    half, last = (size for size in sizes if size)
    whole = len(stream.getvalue())
    assert 0.3 * whole < half < 0.6 * whole
    assert 0.8 * whole < last < whole


def test_when_memory_runs_out_the_file_begins_again(identity, monkeypatch):
    real, calls = type(identity).enlarge_tiles, []

    def failing(self, work, tiles):
        calls.append(work.plan.side)
        if len(calls) == 5:
            raise torch.OutOfMemoryError("no memory")
        return real(self, work, tiles)

    monkeypatch.setattr(type(identity), "enlarge_tiles", failing)
    stream = io.BytesIO()

    account = write_enlarged(identity, scene(), stream, "PNG", OPTIONS, Writing())

    assert calls[:6] == [32] * 5 + [16]
    assert account.notes == ("out of memory with tiles of 32 pixels: 16 instead",)
    smaller = UpscaleOptions(tile=16, overlap=8)
    monkeypatch.undo()
    asked = io.BytesIO()
    write_enlarged(identity, scene(), asked, "PNG", smaller, Writing())
    assert stream.getvalue() == asked.getvalue()  # what it says of its making too


def test_a_picture_that_is_large_enough_is_encoded_as_it_is(identity):
    picture, stream = scene(), io.BytesIO()

    account = write_enlarged(
        identity, picture, stream, "PNG", UpscaleOptions(max_size=(10, 10)), Writing()
    )

    assert account.tiles == 0
    assert account.notes == ("large enough already: not enlarged",)
    assert np.array_equal(read_picture(stream).samples, picture.samples)
