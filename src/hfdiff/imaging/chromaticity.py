"""A profile for PNG files that state gamma and primaries in numbers instead of carrying one.

Viewers heed such numbers; samples that lost them would be shown with other colours.
"""

import struct

import numpy as np
from numpy.typing import NDArray

_SRGB_GAMMA = 0.45455
_SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # white, red, green, blue: x and y each
_CLOSE = 0.005  # as near to sRGB as this is sRGB, written by programs that meant just that
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def profile_of(
    gamma: float | None, chromaticity: tuple[float, ...] | None, *, grey: bool
) -> bytes | None:
    """A small ICC profile that says what a PNG's gAMA and cHRM chunks say; None for sRGB.

    Args:
        gamma: Of encoding, such as 0.45455; None: not stated.
        chromaticity: x and y of white, red, green and blue; None: not stated.
        grey: Whether the samples are grey, which has no primaries.
    """
    gamma = _SRGB_GAMMA if gamma is None else gamma
    primaries = _SRGB if chromaticity is None or grey else chromaticity
    if len(primaries) != 8 or not 0.01 < gamma < 10 or min(primaries[1::2]) <= 0:
        return None  # numbers that cannot be meant
    offsets = [abs(a - b) for a, b in zip(primaries, _SRGB, strict=True)]
    if abs(gamma - _SRGB_GAMMA) < _CLOSE and max(offsets) < _CLOSE:
        return None
    curve = b"curv" + struct.pack(">IIH", 0, 1, min(65_535, round(256 / gamma)))
    name = f"gamma {1 / gamma:.3g} of the file".encode()
    tags = {
        b"desc": b"desc" + struct.pack(">II", 0, len(name) + 1) + name + bytes(79),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": _xyz(_D50),
    }
    if grey:
        return _profile(b"GRAY", tags | {b"kTRC": curve})
    try:
        columns = _matrix_to_d50(primaries).T
    except np.linalg.LinAlgError:  # primaries on a line
        return None
    for letter, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags |= {letter + b"XYZ": _xyz(column), letter + b"TRC": curve}
    return _profile(b"RGB ", tags)


def _matrix_to_d50(primaries: tuple[float, ...]) -> NDArray[np.float64]:
    """XYZ of red, green and blue in columns, for a white that has become D50 (Bradford)."""
    points = np.array(primaries, dtype=np.float64).reshape(4, 2)
    xyz = np.stack([points[:, 0], points[:, 1], 1 - points.sum(1)], 1) / points[:, 1:]
    white, colours = xyz[0], xyz[1:].T
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD @ colours
    scales = np.linalg.solve(colours, white)
    return np.asarray(adapted * scales)


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65_536) for value in values))


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Version 2 of the ICC's format: head, list of tags, tags."""
    place, table, body = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, place + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">II", place + len(body), 0) + b"\x02\x10\0\0mntr" + space + b"XYZ "
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += _xyz(_D50)[8:] + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body
