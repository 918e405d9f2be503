"""ICC profiles: whether they can be used, what they are called, and samples brought into sRGB.

A profile of RGB or grey stays with its samples, and the network sees these as they are: no colour
is converted, so none can shift. Only samples that change their channels are converted.
"""

import functools
import io
import struct
from typing import Any, TypeGuard

from PIL import Image, ImageCms

_SPACES = {"L": b"GRAY", "CMYK": b"CMYK", "LAB": b"Lab "}
_BROKEN = (OSError, ValueError, TypeError, ImageCms.PyCMSError)


def name_of(icc: bytes) -> str | None:
    """What a profile is called; None where it is broken."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return " ".join(ImageCms.getProfileDescription(profile).split()) or "without a name"
    except _BROKEN:
        return None


def is_srgb(name: str) -> bool:
    """Whether a profile of this name describes sRGB."""
    return "srgb" in name.lower() or name == "c2"  # the compact one of many web pictures


def fits(icc: bytes | None, mode: str) -> TypeGuard[bytes]:
    """Whether a profile can be read and speaks of the samples of one of Pillow's modes."""
    return icc is not None and icc[16:20] == _SPACES.get(mode) and name_of(icc) is not None


@functools.cache
def srgb() -> bytes:
    """The profile of sRGB, for samples that were converted into it; always the same bytes."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[24:36] = struct.pack(">6H", 2024, 1, 1, 0, 0, 0)  # when it was made
    made[84:100] = bytes(16)  # a digest, over that too
    return bytes(made)


def in_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """An image as RGB of sRGB: by its profile where that fits, else as Pillow converts it."""
    if not fits(icc, image.mode):
        return image.convert("RGB")
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    target: Any = ImageCms.createProfile("sRGB")
    try:
        converted = ImageCms.profileToProfile(
            image,
            source,
            target,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except _BROKEN:  # its tables, of which reading it looks at none
        converted = None
    return image.convert("RGB") if converted is None else converted
