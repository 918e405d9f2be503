"""What travels with the samples: profile, EXIF, XMP, dots per inch; and what must not."""

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import ExifTags, Image, ImageCms

from exif_blocks import exif_block
from hfdiff.core.errors import ImageError
from hfdiff.imaging import tiff
from hfdiff.imaging.files import encode_picture, read_picture
from hfdiff.imaging.picture import Metadata, Picture
from hfdiff.imaging.png import PngWriter
from hfdiff.imaging.tiff import TiffWriter

SAMPLES = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    b' xmlns:dc="http://purl.org/dc/elements/1.1/">'
    b'<t tiff:Orientation="6" dc:title="bee"/></x:xmpmeta>'
)
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


IPTC = b"\x1c\x02\x05\x00\x03bee\x1c\x02\x19\x00\x04wild"  # title and a keyword


def jpeg_segment(iptc):
    block = struct.pack(">4sHHI", b"8BIM", 0x0404, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
    content = b"Photoshop 3.0\x00" + block
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_every_block_travels_through_both_depths(kind, dtype):
    """users 6.1.2: date, maker, exposure, place, XMP, IPTC, profile, resolution."""
    metadata = replace(photograph().metadata, iptc=IPTC)
    picture = Picture(samples=SAMPLES.astype(dtype), metadata=metadata)

    again, image = rewritten(picture, kind)

    assert again.samples.dtype == dtype
    assert np.array_equal(again.samples, picture.samples)
    exif = image.getexif()
    assert exif[ExifTags.Base.Make] == "Camera works"
    assert exif.get_ifd(ExifTags.IFD.Exif)[0x927C] == b"maker's own"
    assert tuple(exif.get_ifd(ExifTags.IFD.Exif)[EXPOSURE]) == (1, 250)
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[2] == (52.0, 31.0, 12.0)
    assert again.metadata.xmp == metadata.xmp
    assert again.metadata.iptc == IPTC
    assert again.metadata.icc == ICC
    assert again.metadata.dpi == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("iptc", [IPTC, IPTC + b"\x00"], ids=["even", "odd"])
def test_iptc_travels_from_jpeg_into_jpeg_png_and_tiff(iptc):
    stream = io.BytesIO()
    Image.fromarray(SAMPLES).save(stream, "JPEG", extra=jpeg_segment(iptc))
    picture = read_picture(stream)

    assert picture.metadata.iptc == iptc
    for kind in ("JPEG", "PNG", "TIFF"):
        again, _ = rewritten(picture, kind)
        assert again.metadata.iptc == iptc


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "AVIF"])
def test_a_16_bit_picture_without_metadata_gets_none(kind):
    """libvips would add an EXIF block and 25.4 dots per inch."""
    again, image = rewritten(Picture(samples=SAMPLES.astype(np.uint16)), kind)

    assert again.metadata == Metadata()
    assert "exif" not in image.info
    assert not image.info.get("dpi") or kind == "TIFF"  # where Pillow makes one up


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("writer", [PngWriter, TiffWriter])
def test_rows_may_come_in_any_portions(writer, dtype, channels):
    """Another decoder reads what was written, and the bytes do not depend on the portions."""
    rng = np.random.default_rng(3)
    samples = rng.integers(0, np.iinfo(dtype).max, (61, 1300, channels), dtype, endpoint=True)
    files = []
    for portion in (61, 1, 7):
        stream = io.BytesIO()
        rows = writer(stream, samples.shape, samples.dtype, Metadata(dpi=(72.0, 72.0)))
        for top in range(0, 61, portion):
            rows.write(samples[top : top + portion])
        rows.close()
        files.append(stream.getvalue())

    if writer is PngWriter:
        decoded = pyvips.Image.new_from_buffer(files[0], "").numpy()
    else:
        decoded = tifffile.imread(io.BytesIO(files[0]))
        assert len({*files}) == 1
    assert np.array_equal(decoded.reshape(samples.shape), samples)
    for file in files[1:]:
        assert np.array_equal(pyvips.Image.new_from_buffer(file, "").numpy(), decoded)


def test_a_tiff_too_large_for_32_bits_is_written_with_64(monkeypatch):
    monkeypatch.setattr(tiff, "_CLASSIC_LIMIT", 1000)
    samples = np.random.default_rng(3).integers(0, 256, (61, 1300, 3), np.uint8)
    picture = Picture(samples=samples, metadata=photograph().metadata)

    content = encode_picture(picture, "TIFF")

    assert content[:4] == b"II\x2b\x00"
    again = read_picture(io.BytesIO(content))
    assert np.array_equal(again.samples, samples)
    assert np.array_equal(tifffile.imread(io.BytesIO(content)), samples)
    with Image.open(io.BytesIO(content)) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.Exif)[0x9003] == DATE


def test_a_jpegs_exif_cannot_tell_where_the_samples_of_a_tiff_are():
    exif = Image.Exif()
    exif[273] = 5  # strip offsets
    exif[ExifTags.Base.DateTime] = DATE
    picture = Picture(samples=SAMPLES, metadata=Metadata(exif=exif.tobytes()))

    again, image = rewritten(picture, "TIFF")

    assert np.array_equal(again.samples, SAMPLES)
    assert image.getexif()[ExifTags.Base.DateTime] == DATE


def test_sizes_in_xmp_become_those_of_the_output():
    packet = XMP.replace(b"<t ", b'<t exif:PixelXDimension="5" tiff:ImageLength="4" ').replace(
        b" xmlns:tiff", b' xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff'
    )

    again, _ = rewritten(Picture(samples=SAMPLES, metadata=Metadata(xmp=packet)), "JPEG")

    assert b'exif:PixelXDimension="10" tiff:ImageLength="8"' in again.metadata.xmp


def test_the_thumbnail_of_a_source_is_left_behind_and_said():
    """It would show the old picture."""
    stream = io.BytesIO()
    Image.fromarray(SAMPLES).save(stream, "JPEG", exif=exif_block(thumbnail=THUMBNAIL))

    picture = read_picture(stream)

    assert picture.notes == ("left out: thumbnail",)
    for kind in WRITABLE:
        content = encode_picture(picture, kind)
        assert THUMBNAIL not in content
        assert Image.open(io.BytesIO(content)).getexif()[ExifTags.Base.Make] == "me"


@pytest.mark.parametrize("kind", WRITABLE)
def test_names_keep_their_umlauts_and_makers_their_notes(kind):
    """UTF-8 in EXIF, though the standard knows ASCII only; a note of a maker, byte for byte."""
    stream = io.BytesIO()
    block = exif_block(artist="Mäx Müller".encode(), note=b"maker\x00\xff\x01 note")
    Image.fromarray(SAMPLES).save(stream, "JPEG", exif=block)

    once = read_picture(stream)
    content = encode_picture(once, kind)
    again = encode_picture(read_picture(io.BytesIO(content)), "JPEG")

    for file in (content, again):
        assert "Mäx Müller\0".encode() in file
        assert b"maker\x00\xff\x01 note" in file
