"""PNG written row by row, 8 or 16 bits a sample, with all that a photograph says.

Pillow writes no 16-bit colour, and libvips adds an EXIF block and a resolution that nobody stated.
"""

import struct
import zlib
from typing import IO, TYPE_CHECKING

import numpy as np

from hfdiff.imaging.metadata import IPTC_TEXT, iptc_as_text
from hfdiff.imaging.picture import Metadata
from hfdiff.imaging.texts import chunk_of

if TYPE_CHECKING:  # it imports torch
    from hfdiff.imaging.pixels import Samples

_LEVEL = 3
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels
_UP = 2  # each row as its difference from the one above
_METRES = 39.370079  # inches
_PORTION = 1 << 20  # bytes of samples at work at once, and of a chunk of packed ones, about


class PngWriter:
    """Writes one picture; the rows come in order, in portions of any height.

    Args:
        stream: Where the file goes.
        shape: ``(H, W, C)`` of the whole picture; C is 1 to 4, alpha last where it is even.
        dtype: uint8 or uint16.
        metadata: What the file will say of its samples.
    """

    def __init__(
        self, stream: IO[bytes], shape: tuple[int, int, int], dtype: np.dtype, metadata: Metadata
    ) -> None:
        height, width, channels = shape
        self._stream = stream
        self._packer = zlib.compressobj(_LEVEL)
        self._packed = bytearray()
        self._above = np.zeros((1, width * channels * dtype.itemsize), np.uint8)
        self._stream.write(b"\x89PNG\r\n\x1a\n")
        kind = _COLOUR_TYPES[channels]
        self._chunk(
            b"IHDR", struct.pack(">IIBBBBB", width, height, dtype.itemsize * 8, kind, 0, 0, 0)
        )
        for name, content in _chunks_of(metadata):
            self._chunk(name, content)

    def write(self, rows: "Samples") -> None:
        """The next rows, ``[h, W, C]``."""
        height = max(1, _PORTION // self._above.size)
        for top in range(0, len(rows), height):
            self._write(rows[top : top + height])

    def _write(self, rows: "Samples") -> None:
        """Rows that are few enough to be copied about."""
        bytes_of = rows.astype(rows.dtype.newbyteorder(">")).view(np.uint8).reshape(len(rows), -1)
        lines = np.empty((len(rows), bytes_of.shape[1] + 1), np.uint8)
        lines[:, 0] = _UP
        np.subtract(bytes_of[:1], self._above, out=lines[:1, 1:])
        np.subtract(bytes_of[1:], bytes_of[:-1], out=lines[1:, 1:])
        self._above = bytes_of[-1:].copy()
        self._packed += self._packer.compress(lines.data)
        if len(self._packed) >= _PORTION:
            self._portion()

    def close(self) -> None:
        """Write what is left, and the end."""
        self._packed += self._packer.flush()
        self._portion()
        self._chunk(b"IEND", b"")

    def _portion(self) -> None:
        self._chunk(b"IDAT", bytes(self._packed))
        self._packed.clear()

    def _chunk(self, name: bytes, content: bytes) -> None:
        check = zlib.crc32(content, zlib.crc32(name))
        self._stream.write(struct.pack(">I", len(content)) + name + content)
        self._stream.write(struct.pack(">I", check))


def _chunks_of(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """What stands in front of the samples."""
    chunks = []
    if metadata.icc is not None:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.dpi is not None:
        dots = [round(dots * _METRES) for dots in metadata.dpi]
        chunks.append((b"pHYs", struct.pack(">IIB", *dots, 1)))
    if metadata.exif is not None:
        chunks.append((b"eXIf", metadata.exif.removeprefix(b"Exif\0\0")))
    if metadata.xmp is not None:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    if metadata.iptc is not None:
        text = iptc_as_text(metadata.iptc).encode()
        chunks.append((b"zTXt", IPTC_TEXT.encode() + b"\0\0" + zlib.compress(text)))
    chunks += [chunk_of(*text) for text in metadata.texts]
    return chunks
