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
    """Whether samples of one of Pillow's modes can be brought into sRGB by a profile."""
    return icc is not None and icc[16:20] == _SPACES.get(mode) and _into_srgb(icc, mode) is not None


@functools.lru_cache(maxsize=1)
def _into_srgb(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way into sRGB; None where the profile is broken, of which its head may say nothing."""
    target: Any = ImageCms.createProfile("sRGB")
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            target,
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except _BROKEN:
        return None


@functools.cache
def srgb() -> bytes:
    """The profile of sRGB, for samples that were converted into it.

    One version of LittleCMS always gives the same bytes.
    """
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[24:36] = struct.pack(">6H", 2024, 1, 1, 0, 0, 0)  # when it was made
    made[84:100] = bytes(16)  # a digest, over that too
    return bytes(made)


def in_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """An image as RGB of sRGB: by its profile where that fits, else as Pillow converts it."""
    transform = _into_srgb(icc, image.mode) if fits(icc, image.mode) else None
    converted = None if transform is None else ImageCms.applyTransform(image, transform)
    return image.convert("RGB") if converted is None else converted
