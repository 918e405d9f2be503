"""A picture in memory: integer samples as the file had them, and what belongs to them.

Files are never float here, and nothing is torch: only windows of a picture become tensors.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hfdiff.core.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hfdiff.imaging.pixels import Samples

_DTYPES = (np.uint8, np.uint16, np.float32)


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a file says about its samples, to be carried over to the output.

    Attributes:
        icc: ICC profile; it always stays with its samples.
        exif: EXIF block without orientation (already applied) and thumbnail.
        xmp: XMP packet.
        iptc: IPTC records.
        dpi: Dots per inch, horizontal and vertical.
        texts: Keyword and text, as PNG has them; ``Comment`` is what JPEG and GIF have.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    texts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An upright picture.

    Attributes:
        samples: ``[H, W, C]`` uint8 or uint16, or float32 in [0, 1] where a user's tensor was
            float already; C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
        format: Pillow's name of the format it came from (``PNG``, ``JPEG``, ...); "" for none.
        lossless: Whether that format, as used, lost nothing.
        metadata: ICC, EXIF and the like.
        notes: Sentences about what was changed in reading, for the report.
        bits: Of a sample in the file, where 16 hold fewer: 10 or 12 of AVIF; None: all.

    Raises:
        ImageError: for samples of another shape or type, or for none at all.
    """

    samples: "Samples"
    format: str = ""
    lossless: bool = True
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()
    bits: int | None = None

    def __post_init__(self) -> None:
        shape, dtype = list(self.samples.shape), self.samples.dtype
        if dtype not in _DTYPES:
            raise ImageError(f"samples must be uint8, uint16 or float32, got {dtype}")
        if len(shape) != 3 or not 1 <= shape[2] <= 4:
            raise ImageError(f"samples must have the shape [H, W, 1..4], got {shape}")
        if 0 in shape:
            raise ImageError(f"a picture has at least one pixel, got {shape[1]}x{shape[0]}")

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.samples.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.samples.shape[1])

    @property
    def channels(self) -> int:
        """1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
        return int(self.samples.shape[2])

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.channels in (2, 4)

    def window(self, rows: range, columns: range) -> "Samples":
        """Samples of a rectangle; outside the picture it is mirrored, as often as needed.

        The edge sample is not repeated (reflect); a side of one sample repeats it.

        Returns:
            ``[len(rows), len(columns), C]``, the picture's own type.
        """
        inside = rows.start >= 0 and columns.start >= 0
        if inside and rows.stop <= self.height and columns.stop <= self.width:
            return self.samples[rows.start : rows.stop, columns.start : columns.stop]
        row_index = _mirrored(rows, self.height)[:, None]
        return self.samples[row_index, _mirrored(columns, self.width)[None, :]]


def in_8_bit(samples: "Samples") -> "NDArray[np.uint8]":
    """Samples of 8 bits; those of 16 are divided by 257 and rounded half up, floats to 255ths.

    Row by row, so that nothing as large as the picture is made but the result.
    """
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    result = np.empty(samples.shape, dtype=np.uint8)
    for row, target in zip(samples, result, strict=True):
        if samples.dtype == np.uint16:
            target[...] = (row.astype(np.uint32) + 128) // 257
        else:
            target[...] = np.rint(row.clip(0.0, 1.0) * 255)
    return result


def _mirrored(span: range, length: int) -> np.ndarray:
    if length == 1:
        return np.zeros(len(span), dtype=np.int64)
    period = 2 * (length - 1)
    index = np.arange(span.start, span.stop) % period
    return np.where(index < length, index, period - index)
