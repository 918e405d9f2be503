"""Picture files: look at the header, read, write whole or not at all. Decided by content, not name.

Pillow does the formats. 16-bit colour, which Pillow would open as 8 bit without a word, is
recognised in the header and refused by a sentence.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.core.files import replacing
from hfdiff.imaging.picture import Metadata, Picture


@dataclass(frozen=True, kw_only=True)
class Format:
    """What a file format can hold.

    Attributes:
        suffixes: File name endings; the first is written.
        side_limit: Longest side in pixels, None where no file will meet it.
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
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), side_limit=65_535, alpha=False
    ),
    "WEBP": Format(suffixes=(".webp",), side_limit=16_383, grey=False),
    "TIFF": Format(suffixes=(".tif", ".tiff")),
    "BMP": Format(suffixes=(".bmp",), writable=False),
    "GIF": Format(suffixes=(".gif",), writable=False),
    "AVIF": Format(suffixes=(".avif",), side_limit=65_535, grey=False),
}
PICTURE_SUFFIXES = frozenset(suffix for kind in FORMATS.values() for suffix in kind.suffixes)
_SAME = {"MPO": "JPEG"}  # a JPEG with further pictures behind it: the first is taken
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_JPEG_QUALITY = 95
_THUMBNAIL = ExifTags.IFD.IFD1
_DESCRIPTIVE = frozenset(
    {
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.Software,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.HostComputer,
        ExifTags.Base.Copyright,
        ExifTags.Base.Rating,
        ExifTags.Base.XPTitle,
        ExifTags.Base.XPComment,
        ExifTags.Base.XPAuthor,
        ExifTags.Base.XPKeywords,
        ExifTags.Base.XPSubject,
        ExifTags.IFD.Exif,
        ExifTags.IFD.GPSInfo,
    }
)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of its picture before decoding; the size is that of the upright picture."""

    format: str
    width: int
    height: int
    has_alpha: bool


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
        if image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8):
            width, height = height, width
        alpha = image.has_transparency_data
        return Header(format=_format_of(image), width=width, height=height, has_alpha=alpha)


def read_picture(source: Path | IO[bytes]) -> Picture:
    """Read a picture: upright, grey as one channel, palette and CMYK as RGB, alpha kept.

    Raises:
        ImageError: one sentence for files that are no picture, broken, too large, or 16 bit.
    """
    with _opened(source) as image:
        if image.mode in _DEEP_MODES or _bits(image) > 8:
            raise ImageError("16-bit pictures are not handled yet, only 8 bit")
        notes = _notes_on(image)
        try:
            image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise ImageError(f"the picture is broken: {error}") from error
        samples = np.asarray(_plain_mode(ImageOps.exif_transpose(image)))
        metadata = _metadata(image)
        if samples.ndim == 2:
            samples = samples[:, :, None]
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
    samples = picture.samples
    image = Image.fromarray(samples[:, :, 0] if picture.channels == 1 else samples)
    if not FORMATS[format].grey and picture.channels < 3:
        image = image.convert("RGBA" if picture.has_alpha else "RGB")
    stream = io.BytesIO()
    image.save(stream, format=format, **_save_options(picture, format, quality))
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
    try:
        with warnings.catch_warnings():
            # Between Pillow's warning size and its refusal (179 megapixels) pictures are welcome.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            Image.init()  # all plugins, so that naming formats finds them
            image = Image.open(source, formats=list(FORMATS))
    except UnidentifiedImageError as error:
        raise ImageError("not a picture in a format that hfdiff reads") from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"the picture claims more pixels than is safe to decode: {error}"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    with image:
        yield image


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
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        notes.append(f"first of {getattr(image, 'n_frames', 1)} frames or pages")
    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB")
    return tuple(notes)


def _plain_mode(image: Image.Image) -> Image.Image:
    transparent = image.has_transparency_data
    if image.mode in ("1", "L", "LA"):
        return image.convert("LA" if transparent else "L")
    return image.convert("RGBA" if transparent else "RGB")


def _metadata(image: Image.Image) -> Metadata:
    exif = image.getexif()
    exif.pop(ExifTags.Base.Orientation, None)
    if image.format == "TIFF":  # there EXIF shares its list with how the samples are stored
        for tag in [tag for tag in exif if tag not in _DESCRIPTIVE]:
            del exif[tag]
    exif._ifds.pop(_THUMBNAIL, None)
    xmp = image.info.get("xmp")
    icc = None if image.mode == "CMYK" else image.info.get("icc_profile")
    dpi = image.info.get("dpi")
    return Metadata(
        icc=icc or None,
        exif=exif.tobytes() if len(exif) else None,
        xmp=xmp if isinstance(xmp, bytes) else None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
    )


def _save_options(picture: Picture, format: str, quality: int | None) -> dict[str, Any]:  # noqa: A002
    metadata = picture.metadata
    kept = {"icc_profile": metadata.icc, "exif": metadata.exif}
    options: dict[str, Any] = {key: value for key, value in kept.items() if value is not None}
    if metadata.dpi is not None and format in ("PNG", "JPEG", "TIFF"):
        options["dpi"] = metadata.dpi
    if metadata.xmp is not None and format in ("PNG", "JPEG", "WEBP", "AVIF"):
        options["xmp"] = metadata.xmp
    match format:
        case "PNG":
            options["compress_level"] = 3
        case "JPEG":
            options |= {"quality": quality or _JPEG_QUALITY, "subsampling": 0}
        case "WEBP":
            lossless = quality is None and picture.lossless
            options |= {"lossless": lossless, "quality": quality or _JPEG_QUALITY}
        case "AVIF":
            options |= {"quality": quality or _JPEG_QUALITY, "subsampling": "4:4:4"}
        case "TIFF":
            options["compression"] = "tiff_deflate"
    return options
