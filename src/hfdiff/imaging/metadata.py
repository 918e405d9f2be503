"""What a file says about its samples: read leniently, carried over, written where it fits.

A damaged block never stops a picture; it is left behind.
"""

import struct
from dataclasses import replace
from typing import Any

from PIL import ExifTags, Image

from hfdiff.imaging import profiles
from hfdiff.imaging.chromaticity import profile_of
from hfdiff.imaging.exif import mended, with_sides
from hfdiff.imaging.picture import Metadata
from hfdiff.imaging.texts import comment_of, texts_of
from hfdiff.imaging.xmp import without_lost_parts, xmp_with_size

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
    Warning,  # where a user turned those of Pillow into errors
)
DESCRIPTIVE = frozenset(
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
BLOCKS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
IPTC_TEXT = "Raw profile type iptc"  # the name that most programs give it in PNG
_TIFF_IPTC = 33723
_JPEG_IPTC = 0x0404  # among the resources of Photoshop
_JPEG_LIMIT = 65_533
_HEIC_PARTS = {"depth_images": "depth map", "aux": "auxiliary pictures"}


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


def metadata_of(image: Image.Image) -> tuple[Metadata, tuple[str, ...]]:
    """What belongs to the samples of a decoded image once they are upright RGB or grey.

    Returns:
        It, and notes on what was left behind.
    """
    exif, lost = _descriptive_exif(image)
    xmp, lost_xmp = _xmp(image)
    icc, notes = _profile(image)
    texts, lost_texts = texts_of(image)
    lost = [*lost, *lost_xmp, *lost_texts, *_lost_parts(image)]
    if lost:
        notes.append(f"left out: {', '.join(dict.fromkeys(lost))}")
    metadata = Metadata(
        icc=icc, exif=exif, xmp=xmp, iptc=_iptc(image), dpi=_dpi(image), texts=texts
    )
    return metadata, tuple(notes)


def with_size(metadata: Metadata, width: int, height: int) -> Metadata:
    """Metadata whose statements of the picture's size, where there are any, are right again."""
    if metadata.xmp is not None:
        metadata = replace(metadata, xmp=xmp_with_size(metadata.xmp, width, height))
    if metadata.exif is None:
        return metadata
    try:
        return replace(metadata, exif=with_sides(metadata.exif, width, height))
    except ValueError:
        return replace(metadata, exif=None)


def metadata_options(metadata: Metadata, format: str) -> dict[str, Any]:  # noqa: A002
    """Arguments of Pillow's ``save`` that write metadata into a format, as far as it holds them."""
    options: dict[str, Any] = {"icc_profile": metadata.icc, "exif": metadata.exif}
    options["xmp"] = metadata.xmp
    if format == "JPEG":
        options |= {"dpi": metadata.dpi, "comment": comment_of(metadata.texts)}
        if metadata.iptc is not None:
            options["extra"] = _segment(metadata.iptc)
    return {key: value for key, value in options.items() if value is not None}


def iptc_as_text(iptc: bytes) -> str:
    """IPTC as PNG holds it: digits, within a resource of Photoshop."""
    content = _in_photoshop(iptc)
    digits = content.hex()
    lines = [digits[start : start + 72] for start in range(0, len(digits), 72)]
    return "\n".join(("", "iptc", f"{len(content):8}", *lines, ""))


def _segment(iptc: bytes) -> bytes:
    """IPTC as a segment of a JPEG file."""
    content = b"Photoshop 3.0\0" + _in_photoshop(iptc)
    if len(content) > _JPEG_LIMIT:
        raise ValueError("IPTC data is too long")
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content


def _in_photoshop(iptc: bytes) -> bytes:
    head = struct.pack(">4sHHI", b"8BIM", _JPEG_IPTC, 0, len(iptc))
    return head + iptc + bytes(len(iptc) % 2)


def _descriptive_exif(image: Image.Image) -> tuple[bytes | None, list[str]]:
    """EXIF without orientation and thumbnail, None where there is none; and what was left out."""
    block = image.info.get("exif")
    try:
        if image.format != "TIFF" and isinstance(block, bytes) and block:
            kept, had_thumbnail = mended(block)
            return kept, ["thumbnail"] if had_thumbnail else []
        exif = image.getexif()
        exif.pop(ExifTags.Base.Orientation, None)
        if image.format == "TIFF":  # there EXIF shares its list with how the samples are stored
            for tag in [tag for tag in exif if tag not in DESCRIPTIVE]:
                del exif[tag]
        for tag, value in exif.items():
            if isinstance(value, str):
                exif[tag] = value.encode("latin-1", "replace")  # how Pillow read it
        return (exif.tobytes() if len(exif) else None), []
    except DAMAGE:
        return None, ["damaged EXIF"]


def _xmp(image: Image.Image) -> tuple[bytes | None, tuple[str, ...]]:
    xmp = image.info.get("xmp")
    if not isinstance(xmp, bytes):
        return None, ()
    packet, lost = without_lost_parts(xmp)
    return packet, lost if packet is not None else ("damaged XMP",)


def _profile(image: Image.Image) -> tuple[bytes | None, list[str]]:
    """The profile that the samples keep, or that of sRGB where they were converted by theirs."""
    icc = image.info.get("icc_profile")
    if image.mode in ("CMYK", "LAB"):
        return (profiles.srgb() if profiles.fits(icc, image.mode) else None), []
    if image.format == "PNG" and not icc and "srgb" not in image.info:
        gamma, primaries = image.info.get("gamma"), image.info.get("chromaticity")
        grey = image.mode in ("1", "L", "LA", "I;16")
        icc = profile_of(gamma, primaries, grey=grey)
    if not isinstance(icc, bytes) or not icc:
        return None, []
    name = profiles.name_of(icc)
    if name is None:
        return None, ["the colour profile is broken: taken as sRGB"]
    return icc, [] if profiles.is_srgb(name) else [f"colours stay in their profile, {name}"]


def _lost_parts(image: Image.Image) -> list[str]:
    """What a file has beside its picture and the output will not have."""
    lost = []
    if "mp" in image.info:  # the index of a JPEG that has more behind it
        lost.append("further pictures")
    for key, what in _HEIC_PARTS.items():
        if image.info.get(key):
            lost.append(what)
    segments = getattr(image, "applist", ())
    chunks = getattr(image, "private_chunks", ())
    in_jpeg = any(name == "APP11" and b"c2pa" in content for name, content in segments)
    if in_jpeg or any(name == b"caBX" for name, *_ in chunks):
        lost.append("C2PA manifest")
    return lost


def _iptc(image: Image.Image) -> bytes | None:
    """The IPTC records, as each format keeps them."""
    try:
        found = _iptc_block(image)
        if found is None or not found.startswith(b"8BIM"):
            return found or None
        name = found[6] + 1  # a text behind its length, of an even length together
        start = 6 + name + name % 2
        length = int.from_bytes(found[start : start + 4])
        return found[start + 4 : start + 4 + length] or None
    except DAMAGE:
        return None


def _iptc_block(image: Image.Image) -> bytes | None:
    found: Any = None
    match image.format:
        case "JPEG" | "MPO":
            found = image.info.get("photoshop", {}).get(_JPEG_IPTC)
        case "TIFF":
            tags = image.tag_v2  # type: ignore[attr-defined]
            found = tags.get(_TIFF_IPTC)
            if isinstance(found, tuple) and isinstance(found[0], int):
                order = "<" if tags.prefix == b"II" else ">"  # Photoshop calls them numbers
                found = struct.pack(f"{order}{len(found)}I", *found)
        case "PNG":
            lines = image.info.get(IPTC_TEXT, "").split("\n", 3)
            found = bytes.fromhex(lines[3]) if len(lines) == 4 else None
    if isinstance(found, tuple):
        found = found[0]
    return found if isinstance(found, bytes) else None


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """Dots per inch where the file states some that can be meant and that JPEG can hold."""
    try:
        horizontal, vertical = (float(value) for value in image.info.get("dpi", ()))
    except DAMAGE:
        return None
    # Pillow gives 1 for TIFF files that state none.
    return (horizontal, vertical) if all(1 < d < 65_536 for d in (horizontal, vertical)) else None
