"""Opening and decoding: what is said of conversions, of files not read, and threads."""

import io
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from hfdiff.core.errors import ImageError
from hfdiff.imaging import decode
from hfdiff.imaging.decode import plain_mode
from hfdiff.imaging.files import PICTURE_SUFFIXES, read_header, read_picture
from hfdiff.imaging.picture import Picture
from support import ROOT

HEIC = ROOT / "tests" / "fixtures" / "heic" / "turned.heic"


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream


@pytest.mark.parametrize(
    ("mode", "kind", "notes"),
    [
        ("P", "PNG", ("palette became RGB",)),
        ("P", "TIFF", ("palette became RGB",)),
        ("P", "GIF", ()),  # which knows nothing else
        ("1", "PNG", ("1 bit became 8 bits of grey",)),
        ("LAB", "TIFF", ("Lab converted to RGB",)),
        ("CMYK", "JPEG", ("CMYK converted to RGB",)),
        ("L", "PNG", ()),
        ("RGB", "JPEG", ()),
    ],
)
def test_conversions_are_said(mode, kind, notes):
    assert read_picture(saved(Image.new(mode, (5, 4)), kind)).notes == notes


def test_grey_with_premultiplied_alpha_is_grey_with_alpha():
    image = Image.new("LA", (3, 2), (100, 51)).convert("La")

    assert np.array_equal(np.asarray(plain_mode(image))[0, 0], (100, 51))


def test_a_heic_is_read_upright_where_the_extra_is():
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")

    picture = read_picture(HEIC)

    y, x = np.mgrid[:48, :64]
    stored = np.stack([y * 4, x * 3, 255 - x * 2 - y], 2)
    assert picture.format == "HEIF"
    assert np.abs(picture.samples.astype(int) - np.rot90(stored, -1)).mean() < 4
    assert (read_header(HEIC).width, read_header(HEIC).height) == (48, 64)
    assert b"2024:07:01" in picture.metadata.exif


def test_without_the_extra_a_heic_names_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pi_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)

    with pytest.raises(
        ImageError, match=r"HEIC pictures need an extra: pip install 'hfdiff\[heif\]"
    ):
        read_picture(HEIC)


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (b"\xff\x0a rest", "JPEG XL is not read: convert it first, to PNG or TIFF"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL is not read: convert it first, to PNG or TIFF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000 is not read: convert it first, to PNG or TIFF"),
        (b"8BPS\0\x01", "Photoshop is not read: convert it first, to PNG or TIFF"),
        (b"FUJIFILMCCD-RAW 0201", "camera raw is not read: develop it first, to TIFF of 16 bits"),
        (b"\0\0\0\x18ftypcrx ", "camera raw is not read: develop it first, to TIFF of 16 bits"),
    ],
)
def test_pictures_that_are_not_read_are_named(head, sentence, tmp_path):
    path = tmp_path / "whatever.bin"
    path.write_bytes(head + bytes(100))

    for source in (path, io.BytesIO(path.read_bytes())):
        with pytest.raises(ImageError) as caught:
            read_header(source)
        assert str(caught.value) == sentence


def test_the_preview_in_a_raw_file_is_not_taken_for_the_picture(tmp_path):
    """A NEF or DNG is a TIFF whose first picture is a small one."""
    preview = saved(Image.new("RGB", (16, 12)), "TIFF").getvalue()
    (tmp_path / "a.NEF").write_bytes(preview)
    negative = saved(Image.new("RGB", (16, 12)), "TIFF", tiffinfo={50706: b"\1\4\0\0"})

    for source in (tmp_path / "a.NEF", negative):
        with pytest.raises(ImageError, match="camera raw is not read"):
            read_header(source)
    assert read_header(io.BytesIO(preview)).width == 16


def test_a_folder_does_not_pass_over_pictures_that_are_not_read():
    assert {".heic", ".nef", ".dng", ".cr3", ".jxl", ".psd"} <= PICTURE_SUFFIXES


def test_threads_leave_the_filters_of_warnings_as_they_were():
    """They belong to the whole process, and each reading thread sets some for a moment."""
    stream = saved(Image.new("RGB", (40, 30)), "PNG").getvalue()
    before = list(warnings.filters)
    begin = threading.Barrier(8)

    def read():
        begin.wait()
        for _ in range(30):
            read_picture(io.BytesIO(stream))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(warnings.filters) == before


def test_nothing_of_the_process_is_changed_while_a_caller_works():
    """The filters were once held until the caller was done with the picture."""
    before = list(warnings.filters)

    with decode.opened(saved(Image.new("RGB", (4, 3)), "PNG"), ["PNG"]):
        assert list(warnings.filters) == before


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (np.zeros((0, 5, 3), np.uint8), "a picture has at least one pixel, got 5x0"),
        (np.zeros((5, 0, 1), np.uint8), "a picture has at least one pixel, got 0x5"),
        (np.zeros((5, 4), np.uint8), "samples must have the shape"),
        (np.zeros((5, 4, 5), np.uint8), "samples must have the shape"),
        (np.zeros((5, 4, 3)), "samples must be uint8, uint16 or float32, got float64"),
    ],
)
def test_a_picture_is_made_of_samples_that_make_sense(samples, sentence):
    with pytest.raises(ImageError, match=sentence):
        Picture(samples=samples)
