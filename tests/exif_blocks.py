"""Small EXIF blocks for tests, laid out here as cameras lay them out."""

import struct

_SIZES = {2: 1, 3: 2, 4: 4, 7: 1}


def _list(order, start, entries, behind=0):
    """A list of entries (tag, type, content) at a place of the block, its values behind it."""
    place = start + 2 + 12 * len(entries) + 4
    table, values = struct.pack(order + "H", len(entries)), b""
    for tag, kind, content in sorted(entries):
        inline = content.ljust(4, b"\0")
        if len(content) > 4:
            inline = struct.pack(order + "I", place + len(values))
            values += content + bytes(len(content) % 2)
        table += struct.pack(order + "HHI", tag, kind, len(content) // _SIZES[kind]) + inline
    return table + struct.pack(order + "I", behind and place + len(values)) + values


def exif_block(order="<", *, artist=b"", note=b"", thumbnail=b"", orientation=6, sides=(16, 12)):
    """Maker, artist, orientation, a note of the maker, sizes as short numbers, a thumbnail."""
    first = [(0x010F, 2, b"me\0"), (0x0112, 3, struct.pack(order + "H", orientation))]
    first += [(0x013B, 2, artist + b"\0")] if artist else []
    inner = [
        (tag, 3, struct.pack(order + "H", side))
        for tag, side in zip((0xA002, 0xA003), sides, strict=True)
    ]
    inner += [(0x927C, 7, note)] if note else []
    link = [(0x8769, 4, bytes(4))]
    inner_place = 8 + len(_list(order, 8, first + link))
    inner_list = _list(order, inner_place, inner)
    second_place = inner_place + len(inner_list)
    link = [(0x8769, 4, struct.pack(order + "I", inner_place))]
    block = bytearray(_list(order, 8, first + link)) + inner_list
    if thumbnail:
        struct.pack_into(order + "I", block, 2 + 12 * len(first + link), second_place)
        place = second_place + 2 + 12 * 2 + 4
        numbers = ((0x0201, place), (0x0202, len(thumbnail)))
        second = [(tag, 4, struct.pack(order + "I", number)) for tag, number in numbers]
        block += _list(order, second_place, second) + thumbnail
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return b"Exif\0\0" + head + bytes(block)
