"""More than 8 bits a sample, by libvips: Pillow opens such colour as 8 bit without a word.

PNG, TIFF and AVIF hold such samples. libvips is loaded when the first such picture is met.
"""

import os
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hfdiff.core.errors import ImageError, MissingExtraError
from hfdiff.imaging.picture import Picture

DEEP_FORMATS = ("PNG", "TIFF", "AVIF")
AVIF_BITS = 12  # the most that it holds
_DTYPES = {"uchar": np.uint8, "ushort": np.uint16}
_FIELDS = {"icc": "icc-profile-data", "exif": "exif-data", "xmp": "xmp-data"}


def read_deep(
    source: Path | IO[bytes], orientation: int, bits: int = 16
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Samples ``[H, W, C]`` of a picture, upright; uint16 where a sample has more than 8 bits.

    Args:
        source: The file, or its bytes as a stream.
        orientation: EXIF orientation 1..8 to be undone.
        bits: Of a sample in the file; 65535 is white here whatever they are.

    Raises:
        ImageError: when it is broken, or holds something else than whole numbers up to 16 bits.
        MissingExtraError: when libvips is not on this machine.
    """
    vips = _vips()
    try:
        samples = _decoded(vips, source)
    except vips.Error as error:
        raise ImageError(f"the picture is broken: {_last_line(error)}") from error
    if 8 < bits < 16:  # libvips has put them into the upper bits
        samples = widened(samples >> (16 - bits), bits)
    return np.ascontiguousarray(_upright(samples, orientation))


def widened(levels: NDArray[Any], bits: int) -> NDArray[np.uint16]:
    """Samples of 9 to 15 bits as ones of 16: white is 65535."""
    peak = (1 << bits) - 1
    return ((levels.astype(np.uint32) * 65_535 + peak // 2) // peak).astype(np.uint16)


def _decoded(vips: Any, source: Path | IO[bytes]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if isinstance(source, Path):
        # Not by name: libvips takes brackets in names for options, and names must be UTF-8 there.
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            opened = vips.Source.new_from_descriptor(descriptor)
        finally:
            os.close(descriptor)  # libvips has made a copy
        image = vips.Image.new_from_source(opened, "", access="sequential", fail_on="error")
    else:
        source.seek(0)
        image = vips.Image.new_from_buffer(source.read(), "", fail_on="error")
    if image.interpretation == "labs":
        image = image.colourspace("rgb16")
    inks = image.format == "ushort" and image.interpretation == "cmyk" and image.bands == 4
    if inks and image.get_typeof(_FIELDS["icc"]):
        image = image.icc_transform("srgb", embedded=True, intent="relative", depth=16)
    elif inks:
        paper = 65_535 - image  # what is left of it, as Pillow reckons with 8 bits
        image = (paper[:3] * paper[3] / 65_535).rint().cast("ushort")
    dtype = _DTYPES.get(image.format)
    if dtype is None or not 1 <= image.bands <= 4:
        kind = f"{image.bands} samples a pixel of the kind {image.format} {image.interpretation}"
        raise ImageError(f"{kind} are not read, only grey and RGB of 8 and 16 bit")
    raw = image.write_to_memory()
    return np.frombuffer(raw, dtype=dtype).reshape(image.height, image.width, image.bands)


def grey_in_srgb(grey: NDArray[np.uint16], icc: bytes) -> NDArray[np.uint16]:
    """Grey ``[H, W, 1]`` of a profile as RGB ``[H, W, 3]`` of sRGB, uint16.

    Raises:
        ImageError: when the profile is broken.
    """
    vips = _vips()
    image = vips.Image.new_from_array(grey, interpretation="grey16").copy()
    image.set_type(vips.GValue.blob_type, _FIELDS["icc"], icc)
    try:
        colour = image.icc_transform("srgb", embedded=True, intent="relative", depth=16)
        return np.asarray(colour.numpy(), dtype=np.uint16)
    except vips.Error as error:
        raise ImageError(f"the colour profile is broken: {_last_line(error)}") from error


def encode_deep_avif(picture: Picture, quality: int) -> bytes:
    """A 16-bit picture as the bytes of an AVIF file, of as many bits as it had, at most 12.

    Raises:
        ImageError: when libvips cannot write it.
    """
    vips = _vips()
    bits = picture.bits or AVIF_BITS
    peak = (1 << bits) - 1
    levels = (picture.samples.astype(np.uint32) * peak + 32_767) // 65_535
    samples = np.ascontiguousarray((levels << (16 - bits)).astype(np.uint16))
    height, width, bands = samples.shape
    image = vips.Image.new_from_memory(samples.data, width, height, bands, "ushort")
    image = image.copy(interpretation="grey16" if bands < 3 else "rgb16")
    metadata = picture.metadata
    blocks = {"icc": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp}
    kept = {name: block for name, block in blocks.items() if block is not None}
    for name, block in kept.items():
        image.set_type(vips.GValue.blob_type, _FIELDS[name], block)
    try:
        content = image.write_to_buffer(
            ".avif",
            compression="av1",
            Q=quality,
            bitdepth=bits,
            subsample_mode="off",
            keep="|".join(kept) or "none",
        )
    except vips.Error as error:
        raise ImageError(f"cannot be written as AVIF: {_last_line(error)}") from error
    return bytes(content)


def _upright(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation."""
    if orientation >= 5:
        samples = samples.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return samples


def _vips() -> Any:
    try:
        import pyvips
    except (ImportError, OSError) as error:
        raise MissingExtraError(
            "16-bit pictures need libvips, which is not on this machine",
            hint="pip install pyvips pyvips-binary",
        ) from error
    return pyvips


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()
