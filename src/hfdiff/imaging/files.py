"""Picture files: look at the header, read, write whole or not at all. Decided by content, not name.

Pillow does 8 bits a sample. 16-bit colour, which Pillow would open as 8 bit without a word, is
recognised in the header and goes through libvips (`hfdiff.imaging.deep`).
"""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.core.files import replacing
from hfdiff.imaging.decode import bits_of, notes_on, opened, samples_of, samples_of_12
from hfdiff.imaging.deep import encode_deep_avif, grey_in_srgb, read_deep
from hfdiff.imaging.metadata import (
    DAMAGE,
    metadata_of,
    metadata_options,
    orientation_of,
    with_size,
)
from hfdiff.imaging.picture import Picture, in_8_bit
from hfdiff.imaging.png import PngWriter
from hfdiff.imaging.profiles import fits, in_srgb
from hfdiff.imaging.tiff import TiffWriter
from hfdiff.imaging.unread import UNREAD_SUFFIXES

if TYPE_CHECKING:  # it imports torch
    from hfdiff.imaging.pixels import Samples


@dataclass(frozen=True, kw_only=True)
class Format:
    """What a file format can hold.

    Attributes:
        suffixes: File name endings; the first is written.
        side_limit: Longest side in pixels that its libraries write and read again (libjpeg,
            libwebp, libavif); None where no file will meet it.
        alpha: Whether it can hold alpha.
        grey: Whether it has a one-channel form.
        writable: Whether outputs may have it.
    """

    suffixes: tuple[str, ...]
    side_limit: int | None = None
    alpha: bool = True
    grey: bool = True
    writable: bool = True


FORMATS: dict[str, Format] = {
    "PNG": Format(suffixes=(".png", ".apng")),
    "JPEG": Format(
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), side_limit=65_500, alpha=False
    ),
    "WEBP": Format(suffixes=(".webp",), side_limit=16_383, grey=False),
    "TIFF": Format(suffixes=(".tif", ".tiff")),
    "BMP": Format(suffixes=(".bmp",), writable=False),
    "GIF": Format(suffixes=(".gif",), writable=False),
    "AVIF": Format(suffixes=(".avif",), side_limit=32_768),
    "HEIF": Format(suffixes=(".heic", ".heif", ".hif"), writable=False),
}
_READ_SUFFIXES = frozenset(suffix for kind in FORMATS.values() for suffix in kind.suffixes)
PICTURE_SUFFIXES = _READ_SUFFIXES | UNREAD_SUFFIXES
"""Endings of what people take for pictures: what is not read is refused by name."""
_SAME = {"MPO": "JPEG"}  # a JPEG with further pictures behind it: the first is taken
_QUALITY = 95
_BY_ROWS = 200_000_000  # samples above which Pillow's copy of an 8-bit PNG costs too much memory


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of its picture before decoding; the size is that of the upright picture.

    Attributes:
        format: A key of FORMATS.
        width, height: In pixels.
        has_alpha: Whether there is transparency.
        bits: Of a sample, 8 or more.
    """

    format: str
    width: int
    height: int
    has_alpha: bool
    bits: int = 8

    @property
    def is_deep(self) -> bool:
        """Whether a sample has more than 8 bits."""
        return self.bits > 8


def format_named(name: str) -> str:
    """The format for a name as people write it: ``jpg``, ``.jpeg``, ``TIFF``.

    Raises:
        SettingsError: when outputs cannot have that format.
    """
    suffix = "." + name.lower().lstrip(".")
    for key, kind in FORMATS.items():
        if kind.writable and (suffix in kind.suffixes or key == name.upper()):
            return key
    known = ", ".join(kind.suffixes[0][1:] for kind in FORMATS.values() if kind.writable)
    raise SettingsError(f"format must be one of auto, {known}, got {name!r}")


def read_header(source: Path | IO[bytes]) -> Header:
    """Format and size of a picture, without decoding it.

    Raises:
        ImageError: when it is no picture that hfdiff reads.
    """
    with opened(source, list(FORMATS)) as image:
        width, height = image.size
        if image.format != "TIFF" and orientation_of(image) >= 5:  # Pillow turns TIFF by itself
            width, height = height, width
        return Header(
            format=_format_of(image),
            width=width,
            height=height,
            has_alpha=image.has_transparency_data,
            bits=bits_of(image, source),
        )


def read_picture(source: Path | IO[bytes]) -> Picture:
    """Read a picture: upright, grey as one channel, palette and CMYK as RGB, alpha kept.

    Raises:
        ImageError: one sentence for files that are no picture, broken, or too large.
    """
    with opened(source, list(FORMATS)) as image:
        notes, bits = notes_on(image, source), bits_of(image, source)
        kind = _format_of(image)
        samples, told = _decoded(image, source, bits)
        metadata, more = metadata_of(image)
        return Picture(
            samples=samples,
            format=kind,
            lossless=kind in ("PNG", "TIFF", "BMP", "GIF"),
            metadata=metadata,
            notes=(*notes, *told, *more),
            bits=bits if 8 < bits < 16 else None,
        )


def encode_picture(picture: Picture, format: str, *, quality: int | None = None) -> bytes:  # noqa: A002
    """A picture as the bytes of a file; see `save_picture`."""
    stream = io.BytesIO()
    save_picture(picture, stream, format, quality=quality)
    return stream.getvalue()


def save_picture(
    picture: Picture,
    stream: IO[bytes],
    format: str,  # noqa: A002
    *,
    quality: int | None = None,
) -> None:
    """Write a picture into an open file, large PNG and all TIFF by rows.

    Args:
        picture: What to write, with its metadata.
        stream: Where to; it must be able to seek.
        format: A key of FORMATS that is writable and can hold the picture.
        quality: 1..100 for JPEG, WebP and AVIF; None: 95, and lossless WebP for lossless sources.

    Raises:
        ImageError: when the format cannot hold the picture.
        OSError: when the file cannot be written.
    """
    check_holds(format, picture.width, picture.height)
    if picture.has_alpha and not FORMATS[format].alpha:
        raise ImageError(f"{format} cannot hold the picture's transparency")
    metadata = with_size(picture.metadata, picture.width, picture.height)
    picture = replace(picture, metadata=metadata)
    deep = picture.samples.dtype == np.uint16
    try:
        if format == "TIFF" or (format == "PNG" and (deep or picture.samples.size > _BY_ROWS)):
            _write_rows(picture, stream, format)
        elif format == "AVIF" and deep:
            # Grey libvips would write as RGB that has lost its profile.
            picture = _coloured(picture) if picture.channels < 3 else picture
            stream.write(encode_deep_avif(picture, quality or _QUALITY))
        else:
            _save(picture, stream, format, quality)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ImageError(f"cannot be written as {format}: {error}") from error


def write_picture(
    picture: Picture,
    path: Path,
    format: str,  # noqa: A002
    *,
    quality: int | None = None,
) -> None:
    """Write a picture whole or not at all; the name does not choose the format.

    Raises:
        ImageError: when the format cannot hold the picture or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as scratch, scratch.open("wb") as stream:
            save_picture(picture, stream, format, quality=quality)
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror or error}") from error


def check_holds(format: str, width: int, height: int) -> None:  # noqa: A002
    """Refuse a size that a format cannot hold.

    Raises:
        ImageError: naming the limit and formats without it.
    """
    limit = FORMATS[format].side_limit
    if limit is not None and max(width, height) > limit:
        raise ImageError(
            f"{format} holds at most {limit} pixels a side, the output would be {width}x{height}",
            hint="use --format png or tiff",
        )


def _decoded(
    image: Image.Image, source: Path | IO[bytes], bits: int
) -> tuple["Samples", tuple[str, ...]]:
    """Samples by the decoder that keeps all of them, or by the other one; and what that cost."""
    # libvips turns AVIF itself.
    orientation = 1 if image.format == "AVIF" else orientation_of(image)
    if bits == 8:
        try:
            return samples_of(image), ()
        except ImageError:
            if image.format != "TIFF":  # of which there are more kinds than one library reads
                raise
            return read_deep(source, orientation), ()
    try:
        if image.format != "TIFF" or bits >= 16:
            samples = read_deep(source, orientation, bits)
            if image.mode == "L" and samples.shape[2] == 3:  # AVIF without colour
                samples = samples[:, :, :1]
            return samples, ()
        return samples_of_12(image, bits), ()
    except ImageError as error:
        if image.format != "TIFF" or image.mode not in ("L", "LA", "RGB", "RGBA", "RGBX"):
            raise
        return samples_of(image), (f"read with 8 of its {bits} bits: {error}",)


def _format_of(image: Image.Image) -> str:
    kind = image.format or ""
    return _SAME.get(kind, kind)


def _write_rows(picture: Picture, stream: IO[bytes], format: str) -> None:  # noqa: A002
    deep = picture.samples.dtype == np.uint16
    if format == "TIFF" and deep and picture.channels == 2:  # few programs read it, Pillow neither
        picture = _coloured(picture)
    samples = picture.samples if deep else in_8_bit(picture.samples)
    height, width, channels = samples.shape
    kind = PngWriter if format == "PNG" else TiffWriter
    writer = kind(stream, (height, width, channels), samples.dtype, picture.metadata)
    writer.write(samples)
    writer.close()


def _save(picture: Picture, stream: IO[bytes], format: str, quality: int | None) -> None:  # noqa: A002
    picture = replace(picture, samples=in_8_bit(picture.samples))
    if not FORMATS[format].grey and picture.channels < 3:
        picture = _coloured(picture)
    samples = picture.samples
    image = Image.fromarray(samples[:, :, 0] if picture.channels == 1 else samples)
    image.save(stream, format=format, **_save_options(picture, format, quality))


def _save_options(picture: Picture, format: str, quality: int | None) -> dict[str, Any]:  # noqa: A002
    options = metadata_options(picture.metadata, format)
    match format:
        case "PNG":
            options["compress_level"] = 3
        case "JPEG":
            options |= {"quality": quality or _QUALITY, "subsampling": 0}
        case "WEBP":
            lossless = quality is None and picture.lossless
            options |= {"lossless": lossless, "quality": quality or _QUALITY}
        case "AVIF":
            subsampling = "4:0:0" if picture.channels == 1 else "4:4:4"
            options |= {"quality": quality or _QUALITY, "subsampling": subsampling}
    return options


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
