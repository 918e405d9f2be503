"""What travels with the samples: profile, EXIF, XMP, dots per inch; and what must not."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from hfdiff.core.errors import ImageError
from hfdiff.imaging.files import encode_picture, read_picture
from hfdiff.imaging.picture import Metadata, Picture

SAMPLES = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><t tiff:Orientation="6" dc:title="bee"/></x:xmpmeta>'
DATE, EXPOSURE, THUMBNAIL = "2024:07:01 12:00:00", 0x829A, b"\xff\xd8 a small picture \xff\xd9"
WRITABLE = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")


def photograph():
    """As from a camera: date, maker, exposure, place, orientation, profile, XMP, 300 dpi."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.DateTime] = DATE
    exif[ExifTags.Base.Make] = "Camera works"
    exif[ExifTags.IFD.Exif] = {EXPOSURE: (1, 250), 0x9003: DATE, 0x927C: b"maker's own"}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (52.0, 31.0, 12.0)}
    stream = io.BytesIO()
    Image.fromarray(SAMPLES).save(
        stream, "JPEG", exif=exif.tobytes(), icc_profile=ICC, xmp=XMP, dpi=(300, 300)
    )
    return read_picture(io.BytesIO(stream.getvalue()))


def rewritten(picture, kind):
    """The picture through a file of some format, and Pillow's view of that file."""
    content = encode_picture(picture, kind)
    return read_picture(io.BytesIO(content)), Image.open(io.BytesIO(content))


@pytest.mark.parametrize("kind", WRITABLE)
def test_exif_of_a_photograph_travels_into_every_format(kind):
    _, image = rewritten(photograph(), kind)

    exif = image.getexif()
    assert exif[ExifTags.Base.DateTime] == DATE
    assert exif[ExifTags.Base.Make] == "Camera works"
    block = exif.get_ifd(ExifTags.IFD.Exif)
    assert tuple(block[EXPOSURE]) == (1, 250) or block[EXPOSURE] == 1 / 250
    assert block[0x9003] == DATE
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[2] == (52.0, 31.0, 12.0)


@pytest.mark.parametrize("kind", WRITABLE)
def test_exif_survives_a_second_time(kind):
    once, _ = rewritten(photograph(), kind)
    _, image = rewritten(once, "PNG")

    exif = image.getexif()
    assert exif[ExifTags.Base.DateTime] == DATE
    assert exif.get_ifd(ExifTags.IFD.Exif)[0x9003] == DATE
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"


@pytest.mark.parametrize("kind", WRITABLE)
def test_no_file_asks_to_be_turned_again(kind):
    """Neither EXIF nor XMP may name the orientation that was applied."""
    picture = photograph()

    _, image = rewritten(picture, kind)

    assert picture.samples.shape == (10, 8, 3)
    assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    assert b'tiff:Orientation="6"' not in (picture.metadata.xmp or b"")


@pytest.mark.parametrize("kind", WRITABLE)
def test_profiles_travel(kind):
    again, _ = rewritten(photograph(), kind)

    assert again.metadata.icc == ICC


@pytest.mark.parametrize("kind", WRITABLE)
def test_xmp_travels(kind):
    again, _ = rewritten(photograph(), kind)

    assert b'dc:title="bee"' in again.metadata.xmp


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_dots_per_inch_travel(kind):
    again, _ = rewritten(photograph(), kind)

    assert again.metadata.dpi == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("kind", WRITABLE)
def test_a_picture_without_metadata_gets_none(kind):
    again, _ = rewritten(Picture(samples=SAMPLES), kind)

    assert (again.metadata.icc, again.metadata.exif, again.metadata.xmp) == (None, None, None)
    assert again.metadata.dpi in (None, (72.0, 72.0))


def test_a_tiff_that_states_no_resolution_has_none():
    """Pillow would say one dot per inch, and a page of it would be metres wide."""
    stream = io.BytesIO()
    Image.fromarray(SAMPLES).save(stream, "TIFF")

    assert read_picture(stream).metadata.dpi is None


@pytest.mark.parametrize("dpi", [(0, 0), (1e9, 1e9), (0.001, 0.001)])
def test_absurd_resolutions_are_dropped(dpi):
    stream = io.BytesIO()
    Image.fromarray(SAMPLES).save(stream, "TIFF", dpi=dpi)

    picture = read_picture(stream)

    assert picture.metadata.dpi is None
    encode_picture(picture, "JPEG")


def test_the_thumbnail_of_a_source_is_left_behind():
    """It would show the old picture."""
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = DATE
    exif._ifds[ExifTags.IFD.IFD1] = {0x0201: 8, 0x0202: len(THUMBNAIL)}
    stream = io.BytesIO()
    Image.fromarray(SAMPLES).save(stream, "JPEG", exif=exif.tobytes() + THUMBNAIL)

    again, image = rewritten(read_picture(stream), "JPEG")

    assert image.getexif()[ExifTags.Base.DateTime] == DATE
    assert THUMBNAIL not in encode_picture(again, "JPEG")


def test_how_a_tiff_stored_its_samples_is_not_taken_for_exif():
    """Strip offsets of the source would point anywhere in the output."""
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = DATE
    Image.fromarray(SAMPLES).save(stream, "TIFF", exif=exif, compression="tiff_lzw")

    _, image = rewritten(read_picture(stream), "JPEG")

    assert dict(image.getexif()) == {int(ExifTags.Base.DateTime): DATE}


def test_a_block_too_large_for_a_format_is_one_sentence():
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "x" * 70_000
    picture = Picture(samples=SAMPLES, metadata=Metadata(exif=exif.tobytes()))

    assert len(encode_picture(picture, "PNG")) > 0
    with pytest.raises(ImageError, match="cannot be written as JPEG: EXIF data is too long"):
        encode_picture(picture, "JPEG")
