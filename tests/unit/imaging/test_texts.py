"""Text chunks of PNG, comments of JPEG and GIF: carried over where the format has a place."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from hfdiff.imaging.files import encode_picture, read_picture

SAMPLES = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
TEXTS = {
    "Title": "A bee",
    "parameters": "bee, flower\nSteps: 20",
    "Author": "Zoë",
    "Copyright": "写真",
    "Long": "word " * 2000,
}


def png(texts, samples=SAMPLES, *, behind=False):
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add(b"tEXt", key.encode() + b"\0" + text.encode("latin-1"), after_idat=True) if (
            behind
        ) else info.add_text(key, text)
    stream = io.BytesIO()
    Image.fromarray(samples).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def texts_in(content):
    image = Image.open(io.BytesIO(content))
    image.load()
    return dict(image.text)


def test_text_chunks_of_a_png_are_in_the_output():
    picture = read_picture(io.BytesIO(png(TEXTS)))

    assert texts_in(encode_picture(picture, "PNG")) == TEXTS


def test_text_chunks_of_16_bit_are_carried_too():
    grey = SAMPLES[..., 0].astype(np.uint16) * 257
    picture = read_picture(io.BytesIO(png(TEXTS, grey)))

    assert picture.samples.dtype == np.uint16
    assert texts_in(encode_picture(picture, "PNG")) == TEXTS


def test_texts_behind_the_samples_are_found():
    picture = read_picture(io.BytesIO(png({"Title": "A bee"}, behind=True)))

    assert dict(picture.metadata.texts) == {"Title": "A bee"}


@pytest.mark.parametrize("comment", ["made by hand", "Zoë 写真", "x" * 60_000])
def test_a_comment_travels_between_jpeg_and_png(comment):
    stream = io.BytesIO()
    Image.fromarray(SAMPLES).save(stream, "JPEG", comment=comment.encode())

    first = encode_picture(read_picture(stream), "JPEG")
    as_png = encode_picture(read_picture(io.BytesIO(first)), "PNG")
    again = encode_picture(read_picture(io.BytesIO(as_png)), "JPEG")

    assert texts_in(as_png) == {"Comment": comment}
    for content in (first, again):
        assert Image.open(io.BytesIO(content)).info["comment"] == comment.encode()


def test_a_comment_of_a_gif_is_kept():
    stream = io.BytesIO()
    Image.fromarray(SAMPLES).convert("P").save(stream, "GIF", comment=b"drawn")

    assert dict(read_picture(stream).metadata.texts) == {"Comment": "drawn"}


def test_what_speaks_of_the_pixels_of_the_source_stays_behind():
    content = png({"Thumb::Size": "3", "exif:PixelXDimension": "16", "Raw profile type x": "1"})

    assert read_picture(io.BytesIO(content)).metadata.texts == ()


def test_texts_without_end_are_left_out_and_said():
    content = png({"Novel": "word " * 300_000})

    picture = read_picture(io.BytesIO(content))

    assert picture.metadata.texts == ()
    assert picture.notes == ("left out: texts of more than a million letters",)
