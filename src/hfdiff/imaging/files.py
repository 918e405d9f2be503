"""Picture files: look at the header, read, write whole or not at all. Decided by content, not name.

Pillow does 8 bits a sample. 16-bit colour, which Pillow would open as 8 bit without a word, is
recognised in the header and goes through libvips (`hfdiff.imaging.deep`).
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.core.files import replacing
from hfdiff.imaging.deep import DEEP_FORMATS, encode_deep, read_deep
from hfdiff.imaging.metadata import (
    DAMAGE,
    has_blocks,
    metadata_of,
    metadata_options,
    orientation_of,
    upright,
    with_size,
)
from hfdiff.imaging.picture import Picture, in_8_bit


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
}
PICTURE_SUFFIXES = frozenset(suffix for kind in FORMATS.values() for suffix in kind.suffixes)
_SAME = {"MPO": "JPEG"}  # a JPEG with further pictures behind it: the first is taken
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_GREY_STEPS = {"L;2": 85, "L;4": 17}
_JPEG_QUALITY = 95


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of its picture before decoding; the size is that of the upright picture.

    Attributes:
        format: A key of FORMATS.
        width, height: In pixels.
        has_alpha: Whether there is transparency.
        is_deep: Whether a sample has more than 8 bits.
    """

    format: str
    width: int
    height: int
    has_alpha: bool
    is_deep: bool = False


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
    with _opened(source) as image:
        width, height = image.size
        if image.format != "TIFF" and orientation_of(image) >= 5:  # Pillow turns TIFF by itself
            width, height = height, width
        return Header(
            format=_format_of(image),
            width=width,
            height=height,
            has_alpha=image.has_transparency_data,
            is_deep=_is_deep(image),
        )


def read_picture(source: Path | IO[bytes]) -> Picture:
    """Read a picture: upright, grey as one channel, palette and CMYK as RGB, alpha kept.

    Raises:
        ImageError: one sentence for files that are no picture, broken, or too large.
    """
    with _opened(source) as image:
        notes = _notes_on(image)
        samples = read_deep(source, orientation_of(image)) if _is_deep(image) else _samples(image)
        metadata = metadata_of(image)
        kind = _format_of(image)
        lossless = kind in ("PNG", "TIFF", "BMP", "GIF")
        return Picture(
            samples=samples, format=kind, lossless=lossless, metadata=metadata, notes=notes
        )


def encode_picture(picture: Picture, format: str, *, quality: int | None = None) -> bytes:  # noqa: A002
    """A picture as the bytes of a file.

    Args:
        picture: What to write, with its metadata.
        format: A key of FORMATS that is writable and can hold the picture.
        quality: 1..100 for JPEG, WebP and AVIF; None: 95, and lossless WebP for lossless sources.

    Raises:
        ImageError: when the format cannot hold the picture.
    """
    check_holds(format, picture.width, picture.height)
    if picture.has_alpha and not FORMATS[format].alpha:
        raise ImageError(f"{format} cannot hold the picture's transparency")
    metadata = with_size(picture.metadata, picture.width, picture.height)
    picture = replace(picture, metadata=metadata)
    if picture.samples.dtype == np.uint16 and format in DEEP_FORMATS:
        return encode_deep(picture, format)
    samples = in_8_bit(picture.samples)
    stream = io.BytesIO()
    try:
        image = Image.fromarray(samples[:, :, 0] if picture.channels == 1 else samples)
        if not FORMATS[format].grey and picture.channels < 3:
            image = image.convert("RGBA" if picture.has_alpha else "RGB")
        image.save(stream, format=format, **_save_options(picture, format, quality))
    except DAMAGE as error:
        raise ImageError(f"cannot be written as {format}: {error}") from error
    return stream.getvalue()


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
    content = encode_picture(picture, format, quality=quality)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as scratch:
            scratch.write_bytes(content)
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


@contextlib.contextmanager
def _opened(source: Path | IO[bytes]) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        # Pictures between Pillow's warning size and its refusal (179 megapixels) are welcome, and
        # what it has to say about odd EXIF blocks helps nobody.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            Image.init()  # all plugins, so that naming formats finds them
            image = Image.open(source, formats=list(FORMATS))
        except UnidentifiedImageError as error:
            raise ImageError("not a picture in a format that hfdiff reads") from error
        except Image.DecompressionBombError as error:
            raise ImageError(
                f"the picture claims more pixels than is safe to decode: {error}"
            ) from error
        except DAMAGE as error:
            reason = getattr(error, "strerror", None) or error
            raise ImageError(f"cannot be read: {reason}") from error
        with image:
            yield image


def _is_deep(image: Image.Image) -> bool:
    return image.mode in _DEEP_MODES or _bits(image) > 8


def _samples(image: Image.Image) -> NDArray[np.uint8]:
    """Decoded, upright ``[H, W, C]`` uint8."""
    _mend_transparency(image)
    try:
        image.load()
    except DAMAGE as error:
        raise ImageError(f"the picture is broken: {error}") from error
    samples = np.asarray(plain_mode(upright(image)))
    return samples[:, :, None] if samples.ndim == 2 else samples


def _format_of(image: Image.Image) -> str:
    kind = image.format or ""
    return _SAME.get(kind, kind)


def _bits(image: Image.Image) -> int:
    """Bits of a sample as the file has them; Pillow's mode does not tell for 16-bit colour."""
    if image.format == "PNG":
        # The raw mode in the decoder's tile is the file's own: "RGB;16B" for 16-bit colour.
        return 16 if any(str(tile[3]).endswith("16B") for tile in getattr(image, "tile", ())) else 8
    if image.format == "TIFF":
        depths: Any = getattr(image, "tag_v2", {}).get(258, (1,))
        return int(max(depths))
    return 8


def _notes_on(image: Image.Image) -> tuple[str, ...]:
    notes = []
    if image.format != "MPO" and (frames := _frames(image)) > 1:
        notes.append(f"first of {frames} frames or pages")
    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB")
    return tuple(notes)


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except DAMAGE:  # a later frame is broken; the first is all that is wanted
        return 1


def _mend_transparency(image: Image.Image) -> None:
    """Pillow widens grey of 2 or 4 bits to 8, but not the grey that means transparent."""
    raw = str(image.tile[0][3]) if image.format == "PNG" and image.tile else ""  # type: ignore[attr-defined]
    if raw in _GREY_STEPS and isinstance(image.info.get("transparency"), int):
        image.info["transparency"] *= _GREY_STEPS[raw]


def plain_mode(image: Image.Image) -> Image.Image:
    """The image in one of the modes L, LA, RGB and RGBA that says everything it says."""
    transparent = image.has_transparency_data
    if image.mode in ("1", "L", "LA"):
        return image.convert("LA" if transparent else "L")
    return image.convert("RGBA" if transparent else "RGB")


def _save_options(picture: Picture, format: str, quality: int | None) -> dict[str, Any]:  # noqa: A002
    options = metadata_options(picture.metadata, format)
    match format:
        case "PNG":
            options["compress_level"] = 3
        case "JPEG":
            options |= {"quality": quality or _JPEG_QUALITY, "subsampling": 0}
        case "WEBP":
            lossless = quality is None and picture.lossless
            options |= {"lossless": lossless, "quality": quality or _JPEG_QUALITY}
        case "AVIF":
            subsampling = "4:0:0" if picture.channels == 1 else "4:4:4"
            options |= {"quality": quality or _JPEG_QUALITY, "subsampling": subsampling}
        case "TIFF":
            # Pillow cannot compress and write blocks inside EXIF at once; data before size.
            options["compression"] = "raw" if has_blocks(picture.metadata) else "tiff_deflate"
    return options
