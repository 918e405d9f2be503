"""TIFF written row by row, 8 or 16 bits a sample, deflated, with all that a photograph says.

Pillow cannot compress and write EXIF's own blocks at once, nor write 16-bit colour; libvips and
tifffile write no EXIF. So the file is laid out here: strips, EXIF's blocks, the list of contents.
"""

import struct
import zlib
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image, TiffImagePlugin

from hfdiff.imaging.bands import Bands
from hfdiff.imaging.metadata import BLOCKS, DESCRIPTIVE
from hfdiff.imaging.picture import Metadata

if TYPE_CHECKING:  # it imports torch
    from hfdiff.imaging.pixels import Samples

_STRIP_BYTES = 256 * 1024
_CLASSIC_LIMIT = 4_000_000_000  # bytes that 32-bit offsets reach, less what the lists may take
_LEVEL = 6
_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _LONG8 = 1, 2, 3, 4, 5, 7, 16
_SIZES = {_BYTE: 1, _ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8, _UNDEFINED: 1, _LONG8: 8}
_CODES = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}
_XMP, _IPTC, _ICC = 700, 33723, 34675

_Entries = dict[int, tuple[int, bytes]]  # tag: type and value


class TiffWriter:
    """Writes one picture; the rows come in order, in portions of any height.

    Args:
        stream: Where the file goes; it must be able to seek.
        shape: ``(H, W, C)`` of the whole picture; C is 1 to 4, alpha last where it is even.
        dtype: uint8 or uint16.
        metadata: What the file will say of its samples.
    """

    def __init__(
        self, stream: IO[bytes], shape: tuple[int, int, int], dtype: np.dtype, metadata: Metadata
    ) -> None:
        self._stream = stream
        self._shape = shape
        self._dtype = dtype.newbyteorder("<")
        self._metadata = metadata
        row_bytes = shape[1] * shape[2] * dtype.itemsize
        self._strip_rows = min(shape[0], max(1, _STRIP_BYTES // row_bytes))
        self._bands = Bands(self._strip_rows, shape[1:], dtype)
        self._strips: list[tuple[int, int]] = []  # offset and length
        self._big = row_bytes * shape[0] > _CLASSIC_LIMIT
        self._end = 0
        self._put(self._head())

    def write(self, rows: "Samples") -> None:
        """The next rows, ``[h, W, C]``."""
        for strip in self._bands.of(rows):
            self._strip(strip)

    def close(self) -> None:
        """Write what is left and the list of contents."""
        if len(self._bands.rest):
            self._strip(self._bands.rest)
        entries = self._exif() | self._described() | self._layout()
        place = self._put(self._directory(entries, self._aligned()))
        self._stream.seek(8 if self._big else 4)
        self._stream.write(struct.pack("<Q" if self._big else "<I", place))

    def _head(self) -> bytes:
        """How a file begins; where its list of contents lies is filled in at the end."""
        return struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if self._big else b"II*\0" + bytes(4)

    def _strip(self, rows: "Samples") -> None:
        steps = rows.astype(self._dtype)
        steps[:, 1:] -= rows[:, :-1]  # wraps around, as the format wants
        content = zlib.compress(steps.tobytes(), _LEVEL)
        self._strips.append((self._put(content), len(content)))

    def _put(self, content: bytes) -> int:
        """Append, and say where that was."""
        place = self._end
        self._stream.write(content)
        self._end += len(content)
        return place

    def _aligned(self) -> int:
        """The end of the file, made even: lists begin nowhere else."""
        self._put(bytes(self._end % 2))
        return self._end

    def _layout(self) -> _Entries:
        """Where the samples are and how they are stored."""
        height, width, channels = self._shape
        offsets = [offset for offset, _ in self._strips]
        counts = [count for _, count in self._strips]
        entries = {
            256: _numbers(_LONG, width),
            257: _numbers(_LONG, height),
            258: _numbers(_SHORT, *[self._dtype.itemsize * 8] * channels),
            259: _numbers(_SHORT, 8),  # deflate
            262: _numbers(_SHORT, 2 if channels > 2 else 1),  # RGB, grey with 0 as black
            273: _numbers(_LONG8 if self._big else _LONG, *offsets),
            277: _numbers(_SHORT, channels),
            278: _numbers(_LONG, self._strip_rows),
            279: _numbers(_LONG, *counts),
            284: _numbers(_SHORT, 1),  # samples of a pixel side by side
            317: _numbers(_SHORT, 2),  # differences along the row
        }
        if channels % 2 == 0:
            entries[338] = _numbers(_SHORT, 2)  # alpha, colours not multiplied by it
        return entries

    def _described(self) -> _Entries:
        metadata = self._metadata
        blocks = {_XMP: (_BYTE, metadata.xmp), _ICC: (_UNDEFINED, metadata.icc)}
        blocks[_IPTC] = (_UNDEFINED, metadata.iptc)
        entries = {tag: (kind, block) for tag, (kind, block) in blocks.items() if block is not None}
        if metadata.dpi is not None:
            for tag, dots in zip((282, 283), metadata.dpi, strict=True):
                entries[tag] = (_RATIONAL, struct.pack("<II", round(dots * 1000), 1000))
            entries[296] = _numbers(_SHORT, 2)  # an inch
        return entries

    def _exif(self) -> _Entries:
        """EXIF's own blocks are written, and pointed at; the rest are entries of the main list."""
        exif = Image.Exif()
        exif.load(self._metadata.exif or b"")
        entries: _Entries = {}
        for tag in DESCRIPTIVE.intersection(exif):
            if tag in BLOCKS:
                block = self._block(tag, exif.get_ifd(tag))
                entries[tag] = _numbers(_LONG8 if self._big else _LONG, block)
            elif (entry := _plain(exif[tag])) is not None:
                entries[tag] = entry
        return entries

    def _block(self, tag: int, values: dict[int, object]) -> int:
        directory = TiffImagePlugin.ImageFileDirectory_v2(self._head(), group=tag)
        for key, value in values.items():
            if isinstance(value, str):
                directory.tagtype[key] = _ASCII
            directory[key] = value.encode("latin-1", "replace") if isinstance(value, str) else value
        return self._put(directory.tobytes(self._aligned()))

    def _directory(self, entries: _Entries, place: int) -> bytes:
        """The list of contents with the values that do not fit into it behind it."""
        count, entry, room = ("<Q", "<HHQ8s", 8) if self._big else ("<H", "<HHI4s", 4)
        size = struct.calcsize(count) + len(entries) * struct.calcsize(entry) + room
        table, values = struct.pack(count, len(entries)), b""
        for tag, (kind, value) in sorted(entries.items()):
            inline = value
            if len(value) > room:
                inline = (place + size + len(values)).to_bytes(room, "little")
                values += value + bytes(len(value) % 2)
            table += struct.pack(entry, tag, kind, len(value) // _SIZES[kind], inline)
        return table + bytes(room) + values


def _numbers(kind: int, *values: int) -> tuple[int, bytes]:
    return kind, struct.pack(f"<{len(values)}{_CODES[kind]}", *values)


def _plain(value: object) -> tuple[int, bytes] | None:
    """A value of EXIF's main list, which holds texts, bytes and small numbers."""
    match value:
        case str():
            return _ASCII, value.encode("latin-1", "replace") + b"\0"  # as Pillow read its bytes
        case bytes():
            return _BYTE, value
        case int():
            return _numbers(_LONG, value)
    return None
