"""Pictures on their way into files: rows as they come, in what the format can hold of them."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image

from hfdiff.core.errors import ImageError
from hfdiff.imaging.deep import encode_deep_avif, grey_in_srgb
from hfdiff.imaging.jpeg import JpegWriter
from hfdiff.imaging.metadata import DAMAGE, metadata_options, with_size
from hfdiff.imaging.picture import Picture, in_8_bit
from hfdiff.imaging.png import PngWriter
from hfdiff.imaging.profiles import fits, in_srgb
from hfdiff.imaging.tiff import TiffWriter

if TYPE_CHECKING:  # it imports torch
    from hfdiff.imaging.pixels import Samples

QUALITY = 95
_DEEP = ("PNG", "TIFF", "AVIF")


class RowWriter(Protocol):
    """Takes a picture's rows from top to bottom."""

    def write(self, rows: "Samples") -> None:
        """The next rows, ``[h, W, C]``."""

    def close(self) -> None:
        """Write what is left, and the end."""


class PictureWriter:
    """Writes one picture; the rows come in order, in portions of any height.

    PNG, TIFF and JPEG grow with the rows. The libraries of WebP and AVIF want the picture whole:
    for them rows are gathered until the end.

    Args:
        stream: Where the file goes; it must be able to seek.
        format: A format that can hold the picture.
        size: (width, height) in pixels.
        like: A picture of the same channels, type and metadata; its samples are not looked at.
        quality: 1..100 for JPEG, WebP and AVIF; None: 95, and lossless WebP for lossless sources.

    Raises:
        ImageError: here and in all methods, when the format cannot hold the picture.
        OSError: the same, when the file cannot be written.
    """

    def __init__(
        self,
        stream: IO[bytes],
        format: str,  # noqa: A002
        size: tuple[int, int],
        like: Picture,
        *,
        quality: int | None = None,
    ) -> None:
        self._format = format
        metadata = with_size(like.metadata, *size)
        self._like = replace(like, samples=like.samples[:1, :1], metadata=metadata)
        with _one_sentence(format):
            first = _held(self._like, format)
            shape = (size[1], size[0], first.channels)
            self._rows: RowWriter
            if format == "PNG":
                self._rows = PngWriter(stream, shape, first.samples.dtype, first.metadata)
            elif format == "TIFF":
                self._rows = TiffWriter(stream, shape, first.samples.dtype, first.metadata)
            elif format == "JPEG":
                self._rows = JpegWriter(stream, shape, first.metadata, quality or QUALITY)
            else:
                self._rows = _Gatherer(stream, shape, first, format, quality)

    def write(self, rows: "Samples") -> None:
        """The next rows, ``[h, W, C]`` of the picture's own type."""
        with _one_sentence(self._format):
            self._rows.write(_held(replace(self._like, samples=rows), self._format).samples)

    def close(self) -> None:
        """Write what is left, and the end."""
        with _one_sentence(self._format):
            self._rows.close()


class _Gatherer:
    """Holds all rows until a library can have the picture whole."""

    def __init__(
        self,
        stream: IO[bytes],
        shape: tuple[int, int, int],
        like: Picture,
        format: str,  # noqa: A002
        quality: int | None,
    ) -> None:
        self._stream = stream
        self._shape = shape
        self._like = like
        self._format = format
        self._quality = quality
        self._samples: Samples | None = None
        self._done = 0

    def write(self, rows: "Samples") -> None:
        """The next rows, ``[h, W, C]``; what comes at once is not copied."""
        if self._samples is None and len(rows) == self._shape[0]:
            self._samples = rows
            return
        if self._samples is None:
            self._samples = np.empty(self._shape, rows.dtype)
        self._samples[self._done : self._done + len(rows)] = rows
        self._done += len(rows)

    def close(self) -> None:
        """Encode."""
        assert self._samples is not None
        picture = replace(self._like, samples=self._samples)
        quality = self._quality or QUALITY
        if picture.samples.dtype == np.uint16:
            self._stream.write(encode_deep_avif(picture, quality))
            return
        options = metadata_options(picture.metadata, self._format) | {"quality": quality}
        if self._format == "WEBP":
            options["lossless"] = self._quality is None and picture.lossless
        else:
            options["subsampling"] = "4:0:0" if picture.channels == 1 else "4:4:4"
        samples = picture.samples
        image = Image.fromarray(samples[:, :, 0] if picture.channels == 1 else samples)
        image.save(self._stream, format=self._format, **options)


@contextlib.contextmanager
def _one_sentence(format: str) -> Iterator[None]:  # noqa: A002
    """What goes wrong in a library, as an error of ours; a full disk stays what it is."""
    try:
        yield
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ImageError(f"cannot be written as {format}: {error}") from error


def _held(picture: Picture, format: str) -> Picture:  # noqa: A002
    """A picture, or rows of it, as a format holds it: 8 bits, and grey as RGB where it must."""
    deep = picture.samples.dtype == np.uint16 and format in _DEEP
    if not deep:
        picture = replace(picture, samples=in_8_bit(picture.samples))
    # Grey libvips would write as RGB that has lost its profile; grey of 16 bits with alpha few
    # programs read in TIFF, Pillow neither; WebP knows no grey.
    few = {"WEBP": 2, "AVIF": 2 if deep else 0, "TIFF": 2 if deep and picture.has_alpha else 0}
    return _coloured(picture) if picture.channels <= few.get(format, 0) else picture


def _coloured(picture: Picture) -> Picture:
    """Grey as RGB, for formats that know no grey; a profile of grey would not describe it."""
    grey, alpha, metadata = picture.samples[:, :, :1], picture.samples[:, :, 1:], picture.metadata
    colour = np.repeat(grey, 3, 2)
    if fits(metadata.icc, "L"):
        if grey.dtype == np.uint16:
            colour = grey_in_srgb(grey.astype(np.uint16), metadata.icc)
        else:
            colour = np.asarray(in_srgb(Image.fromarray(grey[:, :, 0]), metadata.icc))
        metadata = replace(metadata, icc=None)
    return replace(picture, samples=np.concatenate((colour, alpha), 2), metadata=metadata)
