"""Sixteen bits a sample, by libvips: Pillow opens 16-bit colour as 8 bit without a word.

Only PNG and TIFF hold such samples. libvips is loaded when the first such picture is met.
"""

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hfdiff.core.errors import ImageError, MissingExtraError
from hfdiff.imaging.picture import Picture

DEEP_FORMATS = ("PNG", "TIFF")
_DOTS_PER_MM = 1 / 25.4


def read_deep(source: Path | IO[bytes], orientation: int) -> NDArray[np.uint16]:
    """Samples ``[H, W, C]`` uint16 of a 16-bit PNG or TIFF, upright.

    Args:
        source: The file, or its bytes as a stream.
        orientation: EXIF orientation 1..8 to be undone.

    Raises:
        ImageError: when it is broken, or holds something else than 16-bit whole numbers.
        MissingExtraError: when libvips is not on this machine.
    """
    vips = _vips()
    try:
        if isinstance(source, Path):
            image = vips.Image.new_from_file(str(source), access="sequential", fail_on="truncated")
        else:
            source.seek(0)
            image = vips.Image.new_from_buffer(source.read(), "", fail_on="truncated")
        if image.format != "ushort" or image.interpretation == "cmyk":
            kind = f"{image.format} {image.interpretation}"
            raise ImageError(f"samples of the kind {kind} are not read, only 8 and 16 bit")
        raw = image.write_to_memory()
    except vips.Error as error:
        raise ImageError(f"the picture is broken: {_first_line(error)}") from error
    samples = np.frombuffer(raw, dtype=np.uint16).reshape(image.height, image.width, image.bands)
    return np.ascontiguousarray(_upright(samples, orientation))


def encode_deep(picture: Picture, format: str) -> bytes:  # noqa: A002
    """A 16-bit picture as the bytes of a PNG or TIFF file, with its metadata.

    Raises:
        ImageError: when libvips cannot write it.
    """
    vips = _vips()
    samples = np.ascontiguousarray(picture.samples)
    if format == "TIFF" and picture.channels == 2:  # few programs read grey with alpha there
        samples = np.ascontiguousarray(samples[:, :, [0, 0, 0, 1]])
    height, width, bands = samples.shape
    image = vips.Image.new_from_memory(samples.data, width, height, bands, "ushort")
    image = image.copy(interpretation="grey16" if bands < 3 else "rgb16")
    metadata = picture.metadata
    blocks = {
        "icc-profile-data": metadata.icc,
        "exif-data": metadata.exif,
        "xmp-data": metadata.xmp,
    }
    for name, block in blocks.items():
        if block is not None:
            image.set_type(vips.GValue.blob_type, name, block)
    if metadata.dpi is not None:
        horizontal, vertical = (dots * _DOTS_PER_MM for dots in metadata.dpi)
        image = image.copy(xres=horizontal, yres=vertical)
    options: dict[str, Any] = (
        {"compression": 3, "filter": "up"}
        if format == "PNG"
        else {"compression": "deflate", "predictor": "horizontal"}
    )
    try:
        return bytes(image.write_to_buffer(".png" if format == "PNG" else ".tif", **options))
    except vips.Error as error:
        raise ImageError(f"cannot be written as {format}: {_first_line(error)}") from error


def _upright(samples: NDArray[np.uint16], orientation: int) -> NDArray[np.uint16]:
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


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
