"""Picture files: look at the header, read, write whole or not at all. Decided by content, not name.

Pillow does 8 bits a sample. 16-bit colour, which Pillow would open as 8 bit without a word, is
recognised in the header and goes through libvips (`hfdiff.imaging.deep`).
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from PIL import Image

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.core.files import replacing
from hfdiff.imaging.decode import bits_of, notes_on, opened, samples_of, samples_of_12
from hfdiff.imaging.deep import read_deep
from hfdiff.imaging.encode import PictureWriter
from hfdiff.imaging.metadata import metadata_of, orientation_of
from hfdiff.imaging.picture import Picture
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
        writable: Whether outputs may have it.
    """

    suffixes: tuple[str, ...]
    side_limit: int | None = None
    alpha: bool = True
    writable: bool = True


FORMATS: dict[str, Format] = {
    "PNG": Format(suffixes=(".png", ".apng")),
    "JPEG": Format(
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), side_limit=65_500, alpha=False
    ),
    "WEBP": Format(suffixes=(".webp",), side_limit=16_383),
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


def read_notes(source: Path | IO[bytes]) -> tuple[str, ...]:
    """What `read_picture` would say of a picture, as far as that is known without decoding it.

    Raises:
        ImageError: as `read_header`.
    """
    with opened(source, list(FORMATS)) as image:
        image.info.setdefault("exif", b"")  # or Pillow decodes a PNG to look behind its samples
        return (*notes_on(image, source), *metadata_of(image)[1])


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
    """Write a picture into an open file.

    Args:
        picture: What to write, with its metadata.
        stream: Where to; it must be able to seek.
        format: A key of FORMATS that is writable and can hold the picture.
        quality: 1..100 for JPEG, WebP and AVIF; None: 95, and lossless WebP for lossless sources.

    Raises:
        ImageError: when the format cannot hold the picture.
        OSError: when the file cannot be written.
    """
    writer = picture_writer(stream, format, (picture.width, picture.height), picture, quality)
    writer.write(picture.samples)
    writer.close()


def picture_writer(
    stream: IO[bytes],
    format: str,  # noqa: A002
    size: tuple[int, int],
    like: Picture,
    quality: int | None = None,
) -> PictureWriter:
    """What takes a picture's rows into an open file; see `PictureWriter`.

    Raises:
        ImageError: when the format cannot hold the picture.
    """
    check_holds(format, *size)
    if like.has_alpha and not FORMATS[format].alpha:
        raise ImageError(f"{format} cannot hold the picture's transparency")
    return PictureWriter(stream, format, size, like, quality=quality)


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
