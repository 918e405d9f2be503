"""Files that are broken, cut off, lying or enormous: one sentence each, and cheap."""

import io
import random
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from hfdiff.core.errors import HFDiffError, ImageError
from hfdiff.imaging.files import read_header, read_picture

KINDS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")
BEGINS = "begins as {}, but is broken or of a kind that hfdiff does not read"


def content(kind, height=60, width=70, **options):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format=kind, **options)
    return stream.getvalue()


def sentence_from(data):
    """What reading says; fails unless that is one line."""
    with pytest.raises(ImageError) as caught:
        read_picture(io.BytesIO(data))
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"])
@pytest.mark.parametrize("tenth", range(10))
def test_a_picture_cut_off_anywhere_is_refused(kind, tenth):
    whole = content(kind)

    sentence_from(whole[: len(whole) * tenth // 10])


@pytest.mark.parametrize("tenth", range(9))
def test_a_tiff_cut_off_is_refused(tenth):
    """Its list of contents lies behind the samples, so the last tenth may lack metadata only."""
    whole = content("TIFF", compression="tiff_lzw")

    sentence_from(whole[: len(whole) * tenth // 10])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the file is empty"),
        (b"\x00", "not a picture in a format that hfdiff reads"),
        (b"hello, I am a text\n" * 50, "not a picture in a format that hfdiff reads"),
        (bytes(5000), "not a picture in a format that hfdiff reads"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html></html>", "a web page, not a picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), BEGINS.format("PNG")),
        (b"\xff\xd8\xff" + bytes(99), BEGINS.format("JPEG")),
        (b"GIF89", BEGINS.format("GIF")),
        (b"\0\0\0\x20ftypavif\0\0\0\0", BEGINS.format("AVIF")),
    ],
)
def test_what_is_no_picture_is_said_to_be_none(data, sentence):
    assert sentence_from(data) == sentence


@pytest.mark.parametrize("content", [bytes(99), b"II*\0" + bytes(99)])
def test_a_raw_file_of_unknown_content_is_told_by_its_name(tmp_path, content):
    (tmp_path / "a.NEF").write_bytes(content)

    with pytest.raises(ImageError, match="camera raw is not read: develop it first"):
        read_header(tmp_path / "a.NEF")


def test_formats_that_hfdiff_does_not_read_are_not_tried():
    """Pillow would open them, EPS by starting another program."""
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, format="EPS")

    assert sentence_from(stream.getvalue()) == "not a picture in a format that hfdiff reads"
    assert sentence_from(content("PPM")) == "not a picture in a format that hfdiff reads"


def _chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _claiming(kind, side):
    """A small file that claims side x side pixels."""
    match kind:
        case "PNG":
            header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
            rows = zlib.compress(bytes(10_000_000), 9)
            parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", rows), _chunk(b"IEND", b""))
            return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
        case "GIF":
            return b"GIF89a" + struct.pack("<HH", side, side) + content("GIF")[10:]
        case "BMP":
            return content("BMP")[:18] + struct.pack("<ii", side, side) + content("BMP")[26:]
        case "JPEG":
            data = content("JPEG")
            place = data.index(b"\xff\xc0") + 5
            return data[:place] + struct.pack(">HH", side, side) + data[place + 4 :]
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "JPEG"])
@pytest.mark.parametrize("read", [read_header, read_picture])
def test_a_bomb_is_refused_before_it_is_decoded(kind, read):
    data = _claiming(kind, 60_000)
    assert len(data) < 30_000
    tracemalloc.start()

    with pytest.raises(ImageError, match="claims more pixels than is safe to decode"):
        read(io.BytesIO(data))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_tiff_that_claims_16_gib_is_refused():
    stream = io.BytesIO(content("TIFF"))
    data = bytearray(stream.getvalue())
    for tag in (256, 257):  # width and length: 65536 x 65536 x 4 bytes
        place = data.index(struct.pack("<H", tag), struct.unpack("<I", data[4:8])[0])
        data[place + 2 : place + 12] = struct.pack("<HII", 4, 1, 65_536)

    assert "claims more pixels" in sentence_from(bytes(data))


def test_a_text_chunk_that_unpacks_without_end_is_refused():
    text = b"Comment\x00\x00" + zlib.compress(bytes(80_000_000), 9)
    data = content("PNG")
    bomb = data[:33] + _chunk(b"zTXt", text) + data[33:]
    assert len(bomb) < 200_000

    sentence_from(bomb)


def test_pictures_between_a_warning_and_a_refusal_of_pillow_are_welcome():
    """90 megapixels in a header; tests turn warnings into errors."""
    header = read_header(io.BytesIO(_claiming("PNG", 9500)))

    assert (header.width, header.height) == (9500, 9500)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_header_is_read_without_decoding_the_picture(kind):
    """Planning a folder must not take as long as reading it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = content(kind) if kind == "BMP" else content(kind, exif=exif.tobytes())

    header = read_header(io.BytesIO(whole if kind == "WEBP" else whole[: len(whole) // 2]))

    assert (header.width, header.height) == ((70, 60) if kind == "BMP" else (60, 70))


def test_a_damaged_exif_block_does_not_stop_a_picture():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = content("JPEG", exif=exif)
    damaged = data.replace(b"Exif\x00\x00MM", b"Exif\x00\x00XX").replace(
        b"Exif\x00\x00II", b"Exif\x00\x00XX"
    )
    assert damaged != data

    picture = read_picture(io.BytesIO(damaged))

    assert picture.samples.shape == (60, 70, 3)
    assert picture.metadata.exif is None
    assert read_header(io.BytesIO(damaged)).width == 70


def test_a_damaged_later_frame_does_not_stop_the_first():
    frames = [Image.new("L", (20, 20), level) for level in (30, 200)]
    stream = io.BytesIO()
    frames[0].save(stream, format="GIF", save_all=True, append_images=frames[1:])
    whole = stream.getvalue()
    second = whole.rindex(b"!\xf9")  # its graphic control extension

    picture = read_picture(io.BytesIO(whole[: second + 4]))

    assert (picture.samples == 30).all()


@pytest.mark.parametrize("kind", KINDS)
def test_random_damage_never_raises_anything_but_an_image_error(kind):
    """A folder of pictures must survive every one of its files (500 mutations, fixed seed)."""
    rng = random.Random(kind)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0132] = "2024:07:01 12:00:00"
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    options = {} if kind in ("GIF", "BMP", "TIFF") else {"exif": exif.tobytes()}
    whole = content(kind, height=7, width=9, **options)

    sentences = []
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.choice((0, 255, rng.randrange(256)))
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        for read in (read_header, read_picture):
            try:
                read(io.BytesIO(bytes(data)))
            except HFDiffError as error:
                sentences.append(str(error))

    assert sentences
    assert not any("\n" in sentence for sentence in sentences)


def test_a_folder_named_as_a_picture_is_one_sentence(tmp_path):
    with pytest.raises(ImageError, match="cannot be read: Is a directory"):
        read_picture(tmp_path)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(ImageError, match="cannot be read: No such file"):
        read_picture(tmp_path / "gone.png")
