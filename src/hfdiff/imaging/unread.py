"""Pictures that people have and hfdiff does not open, or not without an extra: said by name."""

import contextlib
import os
from pathlib import Path
from typing import IO

from PIL import Image

_RAW = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos"}
    | {".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf"}
    | {".srw", ".x3f"}
)
UNREAD_SUFFIXES = _RAW | {".jxl", ".jp2", ".j2k", ".psd"}
_SIGNATURES = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"IIRO", "camera raw"),
    (b"IIRS", "camera raw"),
    (b"IIU\0", "camera raw"),
    (b"\0\0\0\x18ftypcrx ", "camera raw"),
)
_OURS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF8", "GIF"),
)
_AVIF = (b"ftypavif", b"ftypavis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_DNG_VERSION = 50706
_NEED_HEIF = "HEIC pictures need an extra: pip install 'hfdiff[heif]'"


def head_of(source: Path | IO[bytes], size: int) -> bytes:
    """The first bytes of a file; none of what cannot be read."""
    if not isinstance(source, Path):
        source.seek(0)
        return source.read(size)
    try:
        with source.open("rb") as stream:
            return stream.read(size)
    except OSError:
        return b""


def tail_of(source: Path | IO[bytes], size: int) -> bytes:
    """The last bytes of a file; none of what cannot be read or is shorter."""
    try:
        with (
            source.open("rb") if isinstance(source, Path) else contextlib.nullcontext(source) as it
        ):
            it.seek(-size, os.SEEK_END)
            return it.read(size)
    except (OSError, ValueError):
        return b""


def register_heif(source: Path | IO[bytes]) -> None:
    """Teach Pillow to open HEIC, where the source is one and the extra is there."""
    if not _is_heic(head_of(source, 12)):
        return
    try:
        import pi_heif
    except ImportError:
        return
    pi_heif.register_heif_opener()


def why_unread(source: Path | IO[bytes]) -> str:
    """What a file is that Pillow did not recognise, and what to do.

    Told by its content; by its name only where that says nothing.
    """
    head = head_of(source, 64)
    if not head:
        return "the file is empty"
    if _is_heic(head):
        return _NEED_HEIF if "HEIF" not in Image.OPEN else _broken("HEIC")
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return _not_read(kind)
    is_raw = isinstance(source, Path) and source.suffix.lower() in _RAW
    ours = _begins_as(head)
    if ours is not None and not (is_raw and ours == "TIFF"):
        return _broken(ours)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, not a picture"
    if is_raw:
        return _not_read("camera raw")
    return "not a picture in a format that hfdiff reads"


def _begins_as(head: bytes) -> str | None:
    """Which of the formats that hfdiff reads a file begins as."""
    for signature, kind in _OURS:
        if head.startswith(signature):
            return kind
    if head[4:12] in _AVIF:
        return "AVIF"
    return "BMP" if head[:2] == b"BM" and head[6:10] == bytes(4) else None


def raw_in_disguise(image: Image.Image, source: Path | IO[bytes]) -> str | None:
    """Why a TIFF is not taken for a picture: it is a camera's raw file, with a preview in front."""
    if image.format != "TIFF":
        return None
    by_name = isinstance(source, Path) and source.suffix.lower() in _RAW
    by_content = _DNG_VERSION in image.tag_v2 or head_of(source, 10)[8:] == b"CR"  # type: ignore[attr-defined]
    return _not_read("camera raw") if by_name or by_content else None


def _is_heic(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


def _broken(kind: str) -> str:
    return f"begins as {kind}, but is broken or of a kind that hfdiff does not read"


def _not_read(kind: str) -> str:
    if kind == "camera raw":
        return "camera raw is not read: develop it first, to TIFF of 16 bits"
    return f"{kind} is not read: convert it first, to PNG or TIFF"
