"""EXIF blocks mended where they lie: what is not mended stays byte for byte.

Written anew by a library, notes of makers, whose offsets count from the block's beginning, would
point anywhere, and names with umlauts would lose them.
"""

import struct
from collections.abc import Iterator

_PREFIX = b"Exif\0\0"
_ORIENTATION, _EXIF_BLOCK = 0x0112, 0x8769
_THUMBNAIL = ((0x0201, 0x0202), (0x0111, 0x0117))  # where it lies and how long it is: JPEG, strips
_SIZES = {0x0100: 0, 0x0101: 1}  # tag: which side
_PIXEL_SIZES = {0xA002: 0, 0xA003: 1}
_SHORT, _LONG = 3, 4


def mended(block: bytes) -> tuple[bytes, bool]:
    """A block that names no orientation and has no thumbnail; and whether it had one.

    Raises:
        ValueError: when it is damaged.
    """
    tiff = _Block(block)
    for place, tag in reversed(list(tiff.entries(tiff.first))):
        if tag == _ORIENTATION:
            tiff.drop(tiff.first, place)
    link = tiff.behind(tiff.first)
    second = tiff.number(link, "I") if link + 4 <= len(tiff.data) else 0  # some leave it out
    if second:
        tiff.forget(second)
        struct.pack_into(tiff.order + "I", tiff.data, link, 0)
    result = _PREFIX + bytes(tiff.data)
    list(_Block(result).entries(tiff.first))  # a thumbnail may have claimed to lie upon the list
    return result, bool(second)


def with_sides(block: bytes, width: int, height: int) -> bytes:
    """A block whose statements of the picture's size, where there are any, are right again.

    Raises:
        ValueError: when it is damaged.
    """
    tiff, sides = _Block(block), (width, height)
    for place, tag in tiff.entries(tiff.first):
        if tag in _SIZES:
            tiff.put(place, sides[_SIZES[tag]])
        elif tag == _EXIF_BLOCK:
            for inner, inner_tag in tiff.entries(tiff.number(place + 8, "I")):
                if inner_tag in _PIXEL_SIZES:
                    tiff.put(inner, sides[_PIXEL_SIZES[inner_tag]])
    return _PREFIX + bytes(tiff.data)


class _Block:
    """The lists of a TIFF structure; whatever leads out of it is damage."""

    def __init__(self, block: bytes) -> None:
        self.data = bytearray(block.removeprefix(_PREFIX))
        orders = {b"II*\0": "<", b"MM\0*": ">"}
        if bytes(self.data[:4]) not in orders:
            raise ValueError("neither of the two byte orders")
        self.order = orders[bytes(self.data[:4])]
        self.first = self.number(4, "I")

    def number(self, place: int, form: str) -> int:
        """A number at a place of the block."""
        try:
            return int(struct.unpack_from(self.order + form, self.data, place)[0])
        except struct.error as error:
            raise ValueError("a list leads out of the block") from error

    def behind(self, start: int) -> int:
        """Where the entries of a list end."""
        return start + 2 + 12 * self.number(start, "H")

    def entries(self, start: int) -> Iterator[tuple[int, int]]:
        """Place and tag of each entry of a list."""
        if self.behind(start) > len(self.data):
            raise ValueError("a list leads out of the block")
        for place in range(start + 2, self.behind(start), 12):
            yield place, self.number(place, "H")

    def put(self, place: int, value: int) -> None:
        """One number as the value of an entry; it is short where it was and fits."""
        if self.number(place + 2, "H") == _SHORT and value < 65_536:
            struct.pack_into(self.order + "HIHH", self.data, place + 2, _SHORT, 1, value, 0)
        else:
            struct.pack_into(self.order + "HII", self.data, place + 2, _LONG, 1, value)

    def drop(self, start: int, place: int) -> None:
        """Take an entry out of a list, whose others move up; nothing else moves."""
        stop = min(self.behind(start) + 4, len(self.data))  # with the link to the next list
        self.data[place:stop] = self.data[place + 12 : stop] + bytes(12)
        struct.pack_into(self.order + "H", self.data, start, self.number(start, "H") - 1)

    def forget(self, start: int) -> None:
        """Blank a list and the picture that it points at; at the end of the block cut it off."""
        found = {tag: self.number(place + 8, "I") for place, tag in self.entries(start)}
        for where, length in _THUMBNAIL:
            if where in found and length in found:
                self._blank(found[where], found[length])
        self._blank(start, self.behind(start) - start)

    def _blank(self, start: int, length: int) -> None:
        stop = min(start + length, len(self.data))
        self.data[start:stop] = b"" if stop == len(self.data) else bytes(max(0, stop - start))
