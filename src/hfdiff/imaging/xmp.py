"""XMP packets: what they say of parts that an enlargement no longer has is cut out of the text.

All else stays byte for byte; a tree written anew would rename prefixes and drop what it does not
know.
"""

import re
from typing import Any
from xml.parsers import expat

# What entries speak of, their namespace, and how the names that are meant begin.
_LOST: tuple[tuple[str, str, str], ...] = (
    ("gain map", "http://ns.adobe.com/hdr-gain-map/1.0/", ""),
    ("gain map", "http://ns.apple.com/HDRGainMap/1.0/", ""),
    ("gain map", "http://ns.apple.com/pixeldatainfo/1.0/", ""),
    ("depth map", "http://ns.google.com/photos/1.0/depthmap/", ""),
    ("depth map", "http://ns.google.com/photos/1.0/focus/", ""),
    ("depth map", "http://ns.google.com/photos/dd/1.0/device/", ""),
    ("depth map", "http://ns.apple.com/depthData/1.0/", ""),
    ("second picture", "http://ns.google.com/photos/1.0/image/", ""),
    ("sound", "http://ns.google.com/photos/1.0/audio/", ""),
    ("motion photo", "http://ns.google.com/photos/1.0/camera/", "MotionPhoto"),
    ("motion photo", "http://ns.google.com/photos/1.0/camera/", "MicroVideo"),
    ("list of parts", "http://ns.google.com/photos/1.0/container/", ""),
    ("list of parts", "http://ns.google.com/photos/1.0/container/item/", ""),
    ("extended XMP", "http://ns.adobe.com/xmp/note/", "HasExtendedXMP"),
    ("thumbnail", "http://ns.adobe.com/xap/1.0/", "Thumbnails"),
    ("C2PA manifest", "http://purl.org/dc/terms/", "provenance"),
)
_ATTRIBUTE = rb"\s+([^\s=<>\"']+)\s*=\s*(?:\"[^\"]*\"|'[^']*')"
_TAG = re.compile(rb"<[^\s<>/]+(?:" + _ATTRIBUTE + rb")*\s*/?>")
_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>\s*))[0-9]+")
_WIDTH = re.compile(rb"((?:tiff:ImageWidth|exif:PixelXDimension)(?:\s*=\s*[\"']|>\s*))[0-9]+")
_HEIGHT = re.compile(rb"((?:tiff:ImageLength|exif:PixelYDimension)(?:\s*=\s*[\"']|>\s*))[0-9]+")
_PADDING = b"\0 \t\r\n"


def without_lost_parts(packet: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    """A packet without entries on gain maps, motion photos and the like, and turned upright.

    Returns:
        The packet, None where it is not well formed; and what was cut out.
    """
    cutter = _Cutter(packet.strip(_PADDING))
    try:
        shorter = cutter.cut()
    except (expat.ExpatError, ValueError):
        return None, ()
    return _ORIENTATION.sub(rb"\g<1>1", shorter), tuple(dict.fromkeys(cutter.lost))


def xmp_with_size(packet: bytes, width: int, height: int) -> bytes:
    """A packet whose statements of the picture's size, where there are any, are right again."""
    packet = _WIDTH.sub(rb"\g<1>%d" % width, packet)
    return _HEIGHT.sub(rb"\g<1>%d" % height, packet)


class _Cutter:
    """One pass over a packet that notes the places of lost entries."""

    def __init__(self, packet: bytes) -> None:
        self.lost: list[str] = []
        self._packet = packet
        self._spans: list[tuple[int, int]] = []
        self._prefixes: dict[str, str] = {}
        self._inside = 0  # how deep within an element that is cut out
        self._begin = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartNamespaceDeclHandler = self._declare
        self._parser.StartDoctypeDeclHandler = self._refuse

    def cut(self) -> bytes:
        """The packet without its lost entries."""
        self._parser.Parse(self._packet, True)
        kept, position = [], 0
        for begin, end in self._spans:
            kept.append(self._packet[position:begin])
            position = end
        return b"".join((*kept, self._packet[position:]))

    def _declare(self, prefix: str | None, uri: str) -> None:
        self._prefixes[prefix or ""] = uri

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._inside:
            self._inside += 1
        elif (lost := _lost(name)) is not None:
            self.lost.append(lost)
            self._inside, self._begin = 1, self._parser.CurrentByteIndex
        elif any(_lost(attribute) for attribute in attributes):
            self._cut_attributes(self._parser.CurrentByteIndex)

    def _end(self, _: str) -> None:
        if self._inside == 1:
            place = self._parser.CurrentByteIndex  # of the end tag; behind an element without one
            has_tag = self._packet.startswith(b"</", place)
            end = self._packet.index(b">", place) + 1 if has_tag else place
            self._spans.append((self._begin, end))
        self._inside = max(0, self._inside - 1)

    def _cut_attributes(self, place: int) -> None:
        tag = _TAG.match(self._packet, place)
        if tag is None:
            raise ValueError("a tag is not written as expected")
        for match in re.finditer(_ATTRIBUTE, tag[0]):
            prefix, _, name = match[1].decode().rpartition(":")
            lost = _lost(f"{self._prefixes.get(prefix, '')} {name}") if prefix else None
            if lost is not None:
                self.lost.append(lost)
                self._spans.append((place + match.start(), place + match.end()))

    def _refuse(self, *_: Any) -> None:
        raise ValueError("a document type has no place in XMP: its entities can grow without end")


def _lost(name: str) -> str | None:
    """What an entry, as ``namespace name``, speaks of that is gone; None for all others."""
    namespace, _, local = name.rpartition(" ")
    for what, gone, begin in _LOST:
        if namespace == gone and local.startswith(begin):
            return what
    return None
