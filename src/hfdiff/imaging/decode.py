"""Picture files opened and decoded by Pillow, 8 bits a sample; hostile ones are one sentence."""

import contextlib
import struct
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from hfdiff.core.errors import ImageError
from hfdiff.imaging import profiles
from hfdiff.imaging.deep import widened
from hfdiff.imaging.metadata import DAMAGE, upright
from hfdiff.imaging.unread import head_of, raw_in_disguise, register_heif, tail_of, why_unread

_GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N")
_DEEP_MODES = ("I", "F", *_GREY_16)
_GREY_STEPS = {"L;2": 85, "L;4": 17}
_CONVERTED = {
    "P": "palette became RGB",
    "PA": "palette became RGB",
    "1": "1 bit became 8 bits of grey",
    "LAB": "Lab converted to RGB",
}
_SRGB_PRIMARIES = (0, 1, 2, 5, 6, 7)  # unknown, BT.709 and the old ones of television beside it
_SRGB_TRANSFERS = (0, 1, 2, 6, 13, 14, 15)  # unknown, sRGB, and BT.709 as browsers show it
_TRANSFERS = {16: " (PQ)", 18: " (HLG)"}
_HEAD = 65_536  # bytes in which an AVIF file describes its samples
_one_opens = threading.Lock()


@contextlib.contextmanager
def opened(source: Path | IO[bytes], formats: list[str]) -> Iterator[Image.Image]:
    """A picture opened and not yet decoded.

    Raises:
        ImageError: when it is no picture of these formats, or claims too many pixels.
    """
    try:
        image = _open(source, formats)
    except UnidentifiedImageError as error:
        raise ImageError(why_unread(source)) from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise ImageError(
            f"the picture claims more pixels than is safe to decode: at most {most:.0f} megapixels"
        ) from error
    except DAMAGE as error:
        raise ImageError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    with image:
        if min(image.size) < 1:
            raise ImageError(f"a picture has at least one pixel, got {image.width}x{image.height}")
        if (reason := raw_in_disguise(image, source)) is not None:
            raise ImageError(reason)
        yield image


def _open(source: Path | IO[bytes], formats: list[str]) -> Image.Image:
    """Pictures between Pillow's warning size and its refusal (179 megapixels) are welcome.

    Filters of warnings belong to the whole process, so threads take turns; nothing is decoded here.
    """
    with _one_opens, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.")
        Image.init()  # all plugins, so that naming formats finds them
        register_heif(source)
        return Image.open(source, formats=[name for name in formats if name in Image.OPEN])


def bits_of(image: Image.Image, source: Path | IO[bytes]) -> int:
    """Bits of a sample as the file has them; Pillow's mode does not tell for 16-bit colour."""
    match image.format:
        case "PNG":
            # The raw mode in the decoder's tile is the file's own: "RGB;16B" for 16-bit colour.
            tiles = getattr(image, "tile", ())
            return 16 if any(str(tile[3]).endswith("16B") for tile in tiles) else 8
        case "TIFF":
            depths: Any = getattr(image, "tag_v2", {}).get(258, (1,))
            return max(8, int(max(depths)))
        case "AVIF":
            return _bits_of_avif(head_of(source, _HEAD))
    return 16 if image.mode in _DEEP_MODES else 8


def load(image: Image.Image) -> None:
    """Have Pillow decode, which it puts off as long as it can.

    Raises:
        ImageError: when the picture is broken.
    """
    try:
        image.load()
    except DAMAGE as error:
        raise ImageError(f"the picture is broken: {error}") from error


def samples_of(image: Image.Image) -> NDArray[np.uint8]:
    """Decoded, upright ``[H, W, C]`` uint8.

    Raises:
        ImageError: when the picture is broken.
    """
    _mend_transparency(image)
    try:
        image.load()
        samples = np.asarray(plain_mode(upright(image)))
    except DAMAGE as error:
        raise ImageError(f"the picture is broken: {error}") from error
    return samples[:, :, None] if samples.ndim == 2 else samples


def samples_of_12(image: Image.Image, bits: int) -> NDArray[np.uint16]:
    """Decoded, upright ``[H, W, 1]`` uint16 of a TIFF of 9 to 15 bits, of which Pillow reads grey.

    Raises:
        ImageError: when the picture is broken, or of another kind.
    """
    if image.mode not in _GREY_16:
        raise ImageError(f"{bits} bits a sample are read of grey only, got {image.mode}")
    try:
        image.load()
        levels = np.asarray(upright(image)).astype(np.uint16)
    except DAMAGE as error:
        raise ImageError(f"the picture is broken: {error}") from error
    return widened(levels, bits)[:, :, None]


def plain_mode(image: Image.Image) -> Image.Image:
    """The image in one of the modes L, LA, RGB and RGBA that says everything it says."""
    if image.mode == "La":  # which Pillow widens to nothing else
        image = image.convert("LA")
    transparent = image.has_transparency_data
    if image.mode in ("1", "L", "LA"):
        return image.convert("LA" if transparent else "L")
    if image.mode in ("CMYK", "LAB"):
        return profiles.in_srgb(image, image.info.get("icc_profile"))
    return image.convert("RGBA" if transparent else "RGB")


def notes_on(image: Image.Image, source: Path | IO[bytes]) -> tuple[str, ...]:
    """What is changed by taking the first frame in a plain mode, and what is not heeded."""
    notes = []
    if image.format != "MPO" and (frames := _frames(image)) > 1:
        notes.append(f"first of {frames} frames or pages")
    if image.mode == "CMYK":
        by_profile = profiles.fits(image.info.get("icc_profile"), image.mode)
        notes.append(f"CMYK converted to {'sRGB by its profile' if by_profile else 'RGB'}")
    if (bits := image.info.get("bit_depth", 8)) > 8:  # of HEIC
        notes.append(f"{bits} bits a sample were rounded to 8")
    if image.mode in _CONVERTED and image.format != "GIF":  # which knows nothing but palettes
        notes.append(_CONVERTED[image.mode])
    if (kind := _coding_of(image, source)) is not None:
        notes.append(f"colours coded by {kind} are taken as sRGB")
    if image.format in ("JPEG", "MPO") and tail_of(source, 4) == b"SEFT":
        notes.append("left out: what a Samsung camera put behind the picture")
    return tuple(notes)


def _coding_of(image: Image.Image, source: Path | IO[bytes]) -> str | None:
    """CICP primaries and transfer (ITU-T H.273) of a PNG or AVIF that are not those of sRGB."""
    if image.format not in ("PNG", "AVIF") or image.info.get("icc_profile"):
        return None
    name, form = (b"\0\0\0\x04cICP", ">BB") if image.format == "PNG" else (b"colrnclx", ">HH")
    _, found, coding = head_of(source, _HEAD).partition(name)
    if not found or len(coding) < struct.calcsize(form):
        return None
    primaries, transfer = struct.unpack_from(form, coding)
    if primaries in _SRGB_PRIMARIES and transfer in _SRGB_TRANSFERS:
        return None
    return f"CICP {primaries}/{transfer}{_TRANSFERS.get(transfer, '')}"


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


def _bits_of_avif(head: bytes) -> int:
    """From the configuration of its first AV1 stream: two flags in the third byte."""
    place = head.find(b"av1C") + 4
    if place < 4 or place + 2 >= len(head):
        return 8
    flags = head[place + 2]
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
