"""More than 8 bits a sample: AVIF, odd names, samples that are no plain RGB."""

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from hfdiff.core.errors import ImageError
from hfdiff.imaging.files import encode_picture, read_header, read_picture, write_picture
from hfdiff.imaging.picture import Metadata, Picture
from profiles import GREY

RAMP = np.linspace(0, 65_535, 32 * 40 * 3).astype(np.uint16).reshape(32, 40, 3)


def avif(bits, samples=RAMP):
    image = pyvips.Image.new_from_array(samples, interpretation="rgb16")
    return image.write_to_buffer(
        ".avif", compression="av1", bitdepth=bits, lossless=True, keep="none"
    )


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_of_more_than_8_bits_keeps_them(bits):
    picture = read_picture(io.BytesIO(avif(bits)))
    again = read_picture(io.BytesIO(encode_picture(picture, "AVIF")))

    step = 65_535 / ((1 << bits) - 1)
    assert read_header(io.BytesIO(avif(bits))).is_deep
    assert picture.samples.dtype == np.uint16
    assert np.abs(picture.samples.astype(float) - RAMP).max() <= step + 1
    assert (picture.samples.min(), picture.samples.max()) == (0, 65_535)
    assert again.bits == picture.bits == bits
    assert np.abs(again.samples.astype(float) - picture.samples).mean() < 3 * step


def test_avif_of_8_bits_stays_so():
    stream = io.BytesIO()
    Image.fromarray((RAMP >> 8).astype(np.uint8)).save(stream, "AVIF")

    assert not read_header(stream).is_deep
    assert read_picture(stream).samples.dtype == np.uint8


def test_16_bits_become_the_12_that_avif_holds():
    again = read_picture(io.BytesIO(encode_picture(Picture(samples=RAMP), "AVIF")))

    assert again.bits == 12
    assert len(np.unique(again.samples)) > 256


def test_libvips_turns_an_avif_itself():
    """So the orientation that Pillow tells must not be undone once more."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray((RAMP >> 8).astype(np.uint8)).save(stream, "AVIF", exif=exif)

    turned = pyvips.Image.new_from_buffer(stream.getvalue(), "").numpy()

    assert np.abs(read_picture(stream).samples.astype(int) - turned).max() <= 2


NAMES = ["brackets [page=3].png", "a[0].tif", "umläut.png", "新.tif", os.fsdecode(b"\xff\xfe.png")]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_are_only_names(name, tmp_path):
    """libvips would take brackets for options, and cannot name what is not UTF-8."""
    kind = "PNG" if name.endswith("png") else "TIFF"

    write_picture(Picture(samples=RAMP), tmp_path / name, kind)

    assert np.array_equal(read_picture(tmp_path / name).samples, RAMP)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files here")
def test_reading_leaves_no_file_open(tmp_path):
    write_picture(Picture(samples=RAMP), tmp_path / "a.png", "PNG")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    read_picture(tmp_path / "a.png")
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(20):
        read_picture(tmp_path / "a.png")
        with pytest.raises(ImageError):
            read_picture(tmp_path / "b.png")

    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def tiff(samples, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, **options)
    return stream


def test_16_bit_cmyk_becomes_rgb_and_says_so():
    ink = np.zeros((6, 5, 4), np.uint16)
    ink[..., 0] = 65_535  # cyan

    picture = read_picture(tiff(ink, photometric="separated"))

    assert picture.notes == ("CMYK converted to RGB",)
    assert picture.samples.shape == (6, 5, 3)
    assert picture.samples[0, 0].tolist() == [0, 65_535, 65_535]


@pytest.mark.parametrize(
    ("samples", "options"),
    [
        (np.ones((4, 4), np.int16), {}),
        (np.ones((4, 4), np.uint32), {}),
        (np.ones((4, 4, 3), np.float32), {"photometric": "rgb"}),
        (np.ones((4, 4, 7), np.uint16), {"photometric": "minisblack", "planarconfig": "contig"}),
    ],
    ids=["signed", "32 bits", "float", "7 channels"],
)
def test_other_kinds_of_samples_are_one_sentence(samples, options):
    with pytest.raises(
        ImageError, match=r"are not read|begins as TIFF, but is broken or of a kind"
    ) as caught:
        read_picture(tiff(samples, **options))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "AVIF"])
def test_a_profile_of_grey_does_not_stay_with_colours(kind):
    """WebP knows no grey, and 16-bit grey with alpha few programs read: colours by the profile."""
    dtype, white = (np.uint8, 255) if kind == "WEBP" else (np.uint16, 65_535)
    samples = np.full((4, 4, 2), white, dtype)
    samples[..., 0] = white // 2

    again = read_picture(
        io.BytesIO(encode_picture(Picture(samples=samples, metadata=Metadata(icc=GREY)), kind))
    )

    level = again.samples[0, 0, :3] / white
    wanted = 1.055 * 0.5 ** (1 / 2.4) - 0.055  # linear grey of one half, in sRGB
    assert again.metadata.icc is None
    assert level == pytest.approx([wanted] * 3, abs=0.01)


def test_grey_tiff_of_12_bits_is_read_by_pillow_and_widened():
    """libvips reads none of 12 bits; the rows are packed, two samples in three bytes."""
    levels = np.linspace(0, 4095, 60).round().astype(np.uint16).reshape(6, 10)
    pairs = levels.reshape(-1, 2).astype(np.uint32)
    words = pairs[:, 0] << 12 | pairs[:, 1]
    packed = np.stack((words >> 16, words >> 8, words), 1).astype(np.uint8).tobytes()
    entries = [(256, 10), (257, 6), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (279, 90)]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\0" + struct.pack("<I", 8 + len(packed))
    data = head + packed + struct.pack("<H", len(entries)) + table + bytes(4)

    picture = read_picture(io.BytesIO(data))

    assert picture.bits == 12
    assert np.array_equal(picture.samples[:, :, 0], np.rint(levels * (65_535 / 4095)))


def test_a_tiff_that_libvips_cannot_read_whole_is_read_with_8_bits_and_it_is_said(monkeypatch):
    """Such as tiled separate planes; here libvips fails for another reason."""

    def fail(*_):
        raise ImageError("the picture is broken: tiled separate planes not supported")

    monkeypatch.setattr("hfdiff.imaging.files.read_deep", fail)

    picture = read_picture(tiff(RAMP, photometric="rgb"))

    assert np.array_equal(picture.samples, RAMP >> 8)
    assert "read with 8 of its 16 bits: " in picture.notes[0]


def test_a_tiff_that_pillow_cannot_read_is_read_by_libvips(monkeypatch):
    """Such as one compressed as WebP."""

    def fail(_):
        raise ImageError("the picture is broken: decoder error -2")

    monkeypatch.setattr("hfdiff.imaging.files.samples_of", fail)
    samples = (RAMP >> 8).astype(np.uint8)

    picture = read_picture(tiff(samples, photometric="rgb"))

    assert picture.samples.dtype == np.uint8
    assert np.array_equal(picture.samples, samples)


def test_a_compression_that_libvips_lacks_does_not_make_the_picture_black():
    """It would hand out zeros, and call that no error."""
    picture = read_picture(tiff(RAMP, photometric="rgb", compression="lzma"))

    scale = 257 if picture.samples.dtype == np.uint8 else 1
    assert np.abs(picture.samples.astype(int) * scale - RAMP).max() <= 256


def test_an_avif_without_colour_is_grey_though_libvips_says_rgb(monkeypatch):
    """None of these libraries writes one of 10 bits, so its samples stand in here."""
    stream = io.BytesIO()
    Image.fromarray(np.zeros((32, 40), np.uint8)).save(stream, "AVIF", subsampling="4:0:0")
    monkeypatch.setattr("hfdiff.imaging.files.bits_of", lambda *_: 10)
    monkeypatch.setattr("hfdiff.imaging.files.read_deep", lambda *_: RAMP[..., :1].repeat(3, 2))

    assert np.array_equal(read_picture(stream).samples, RAMP[..., :1])
