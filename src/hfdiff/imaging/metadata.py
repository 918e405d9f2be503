"""What a file says about its samples: read leniently, carried over, written where it fits.

A damaged block never stops a picture; it is left behind.
"""

import re
import struct
from dataclasses import replace
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from hfdiff.imaging.picture import Metadata

# What Pillow raises on damaged content, found by trying: each format has its own ways.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    EOFError,
    struct.error,
)
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
_BLOCKS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[0-9]")
_TIFF_XMP = 700
_SIZES = (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength)
_PIXEL_SIZES = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none that can be read.

    Before the image is decoded it is what stands in front of the samples.
    """
    try:
        # Not the method of PNG, which decodes the picture to look behind it.
        return int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except DAMAGE:
        return 1


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its orientation says."""
    turn = _UPRIGHT.get(orientation_of(image))
    return image if turn is None else image.transpose(turn)


def metadata_of(image: Image.Image) -> Metadata:
    """What belongs to the samples of a decoded image once they are upright RGB or grey."""
    xmp = image.info.get("xmp")
    # Profiles of CMYK and Lab do not describe the RGB that was made of them.
    icc = None if image.mode in ("CMYK", "LAB") else image.info.get("icc_profile")
    return Metadata(
        icc=icc or None,
        exif=_descriptive_exif(image),
        xmp=_XMP_ORIENTATION.sub(rb"\g<1>1", xmp) if isinstance(xmp, bytes) else None,
        dpi=_dpi(image),
    )


def with_size(metadata: Metadata, width: int, height: int) -> Metadata:
    """Metadata whose statements of the picture's size, where there are any, are right again."""
    if metadata.exif is None:
        return metadata
    try:
        exif = _loaded(metadata.exif)
        inner = exif.get_ifd(ExifTags.IFD.Exif) if ExifTags.IFD.Exif in exif else {}
        for block, tags in ((exif, _SIZES), (inner, _PIXEL_SIZES)):
            for tag, side in zip(tags, (width, height), strict=True):
                if tag in block:
                    block[tag] = side
        return replace(metadata, exif=exif.tobytes())
    except DAMAGE:
        return replace(metadata, exif=None)


def metadata_options(metadata: Metadata, format: str) -> dict[str, Any]:  # noqa: A002
    """Arguments of Pillow's ``save`` that write metadata into a format, as far as it holds them."""
    exif, xmp = metadata.exif, metadata.xmp
    options: dict[str, Any] = {"icc_profile": metadata.icc, "exif": exif}
    if format in ("PNG", "JPEG", "TIFF"):
        options["dpi"] = metadata.dpi
    match format:
        case "PNG" if xmp is not None:
            options["pnginfo"] = PngImagePlugin.PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode(errors="replace"))
        case "TIFF" if xmp is not None:
            options["exif"] = _loaded(exif)
            options["exif"][_TIFF_XMP] = xmp
        case _:
            options["xmp"] = xmp
    return {key: value for key, value in options.items() if value is not None}


def has_blocks(metadata: Metadata) -> bool:
    """Whether EXIF holds blocks of its own, as every camera writes them."""
    exif = _loaded(metadata.exif)
    return any(block in exif for block in _BLOCKS)


def _loaded(exif_bytes: bytes | None) -> Image.Exif:
    exif = Image.Exif()
    exif.load(exif_bytes or b"")
    return exif


def _descriptive_exif(image: Image.Image) -> bytes | None:
    """EXIF without orientation and thumbnail; None where there is none or it is damaged."""
    try:
        exif = image.getexif()
        exif.pop(ExifTags.Base.Orientation, None)
        if image.format == "TIFF":  # there EXIF shares its list with how the samples are stored
            for tag in [tag for tag in exif if tag not in _DESCRIPTIVE]:
                del exif[tag]
        exif._ifds.pop(_THUMBNAIL, None)
        return exif.tobytes() if len(exif) else None
    except DAMAGE:
        return None


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """Dots per inch where the file states some that can be meant and that JPEG can hold."""
    try:
        horizontal, vertical = (float(value) for value in image.info.get("dpi", ()))
    except DAMAGE:
        return None
    # Pillow gives 1 for TIFF files that state none.
    return (horizontal, vertical) if all(1 < d < 65_536 for d in (horizontal, vertical)) else None
