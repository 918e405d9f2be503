"""JPEG in bands: the samples of a file made at once, whatever portions the rows come in."""

import io

import numpy as np
import pytest
import pyvips
from PIL import Image

from hfdiff.imaging.jpeg import JpegWriter
from hfdiff.imaging.picture import Metadata


def scene(height, width, channels):
    rng = np.random.default_rng(height * width)
    slope = np.linspace(0, 255, width)[None, :, None] + rng.normal(0, 30, (height, width, channels))
    return slope.clip(0, 255).astype(np.uint8)


def written(samples, quality=95, portion=None, metadata=None):
    stream = io.BytesIO()
    writer = JpegWriter(stream, samples.shape, metadata or Metadata(), quality)
    for top in range(0, len(samples), portion or len(samples)):
        writer.write(samples[top : top + (portion or len(samples))])
    writer.close()
    return stream.getvalue()


def at_once(samples, quality=95):
    stream = io.BytesIO()
    image = Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)
    image.save(stream, "JPEG", quality=quality, subsampling=0)
    return stream.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "size", [(1, 1), (7, 9), (8, 8), (63, 20), (64, 64), (65, 30), (129, 17), (500, 3), (1100, 40)]
)
def test_it_decodes_to_the_samples_of_a_file_made_at_once(size, channels):
    samples = scene(*size, channels)

    content = written(samples)

    ours, other = (Image.open(io.BytesIO(one)) for one in (content, at_once(samples)))
    assert (ours.mode, ours.size) == (other.mode, other.size)
    assert ours.quantization == other.quantization
    assert np.array_equal(np.asarray(ours), np.asarray(other))
    decoded = pyvips.Image.new_from_buffer(content, "", fail_on="warning")
    assert (decoded.height, decoded.width, decoded.bands) == samples.shape


@pytest.mark.parametrize("quality", [1, 40, 95, 100])
def test_every_quality_is_as_asked_and_costs_next_to_nothing(quality):
    samples = scene(300, 400, 3)

    content, other = written(samples, quality), at_once(samples, quality)

    assert np.array_equal(*(np.asarray(Image.open(io.BytesIO(one))) for one in (content, other)))
    assert len(content) < len(other) + 10 + 4 * 300 / 8


@pytest.mark.parametrize("portion", [1, 5, 64, 100, 192])
def test_the_bytes_do_not_depend_on_the_portions(portion):
    samples = scene(200, 50, 3)

    assert written(samples, portion=portion) == written(samples)


def test_colours_are_not_subsampled_and_blocks_are_said_once():
    samples = scene(200, 300, 3)

    content = written(
        samples, metadata=Metadata(icc=b"profile", exif=b"Exif\0\0II*\0", dpi=(72, 72))
    )

    with Image.open(io.BytesIO(content)) as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
        assert image.info["icc_profile"] == b"profile"
        assert image.info["dpi"] == (72, 72)
    assert content.count(b"Exif\0\0") == content.count(b"ICC_PROFILE") == 1
