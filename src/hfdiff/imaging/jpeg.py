"""JPEG written in bands of rows, so that no copy of the picture is made for its library.

Each band is a file of Pillow's with a restart marker behind every row of blocks, where the format
begins to count anew. A band of eight such rows therefore goes on where the one above it ends, and
the whole decodes to the very samples that one file made at once would give.
"""

import io
import struct
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from hfdiff.imaging.bands import Bands
from hfdiff.imaging.metadata import metadata_options
from hfdiff.imaging.picture import Metadata

if TYPE_CHECKING:  # it imports torch
    from hfdiff.imaging.pixels import Samples

_BAND = 64  # rows: eight rows of blocks, as restart markers are numbered from 0 to 7
_SIZE, _SCAN = 0xC0, 0xDA  # segments that state the sides, and that samples follow
_LAST_MARKER = b"\xff\xd7"


class JpegWriter:
    """Writes one picture; the rows come in order, in portions of any height.

    Args:
        stream: Where the file goes.
        shape: ``(H, W, C)`` of the whole picture; C is 1 or 3.
        metadata: What the file will say of its samples.
        quality: 1..100.
    """

    def __init__(
        self, stream: IO[bytes], shape: tuple[int, int, int], metadata: Metadata, quality: int
    ) -> None:
        self._stream = stream
        self._height = shape[0]
        self._options: dict[str, Any] = {
            "quality": quality,
            "subsampling": 0,
            "restart_marker_rows": 1,
        }
        self._described = metadata_options(metadata, "JPEG")
        self._bands = Bands(_BAND, shape[1:], np.dtype(np.uint8))
        self._is_begun = False

    def write(self, rows: "Samples") -> None:
        """The next rows, ``[h, W, C]`` uint8."""
        for band in self._bands.of(rows):
            self._band(band)

    def close(self) -> None:
        """Write what is left, and the end."""
        if len(self._bands.rest):
            self._band(self._bands.rest)
        self._stream.write(b"\xff\xd9")

    def _band(self, rows: "Samples") -> None:
        image = Image.fromarray(rows[:, :, 0] if rows.shape[2] == 1 else rows)
        band, described = io.BytesIO(), {} if self._is_begun else self._described
        image.save(band, format="JPEG", **self._options, **described)
        content = band.getvalue()
        size, scan = _places(content)
        head = bytearray(content[:scan])
        struct.pack_into(">H", head, size + 5, self._height)
        self._stream.write(_LAST_MARKER if self._is_begun else head)
        self._stream.write(memoryview(content)[scan:-2])  # without the mark of its end
        self._is_begun = True


def _places(content: bytes) -> tuple[int, int]:
    """Where a JPEG states its sides, and where its samples begin."""
    place, size = 2, 0
    while True:
        kind = content[place + 1]
        if kind == _SIZE:
            size = place
        place += 2 + int.from_bytes(content[place + 2 : place + 4])
        if kind == _SCAN:
            return size, place
