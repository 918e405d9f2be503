"""Small ICC profiles for tests, built here: three primaries and a curve, or grey and a curve."""

import struct

import numpy as np

_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def _xyz(x, y):
    return np.array([x / y, 1.0, (1 - x - y) / y])


def matrix_to_d50(primaries, white):
    """Columns: XYZ of red, green and blue, adapted to D50 (Bradford)."""
    colours = np.stack([_xyz(*point) for point in primaries], 1)
    source = _xyz(*white)
    matrix = colours * np.linalg.solve(colours, source)
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ source)
    return np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD @ matrix


def _s15(values):
    return b"".join(struct.pack(">i", round(float(value) * 65_536)) for value in values)


def _profile(space, tags):
    """A version 2 profile: head, list of tags, tags."""
    place, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, place + len(body), len(content))
        body += content
    size = place + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"test", 0x02100000, b"mntr", space, b"XYZ ")
    head += struct.pack(
        ">6H4s4sI4s4sQI", 2024, 1, 1, 0, 0, 0, b"acsp", b"\0\0\0\0", 0, b"test", b"test", 0, 0
    )
    head += _s15(_D50) + b"test" + bytes(44)
    return head + struct.pack(">I", len(tags)) + table + body


def _common(name):
    text = name.encode() + b"\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    return {
        b"desc": description,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + _s15(_D50),
    }


def _curve(curve):
    """A power, or levels of 16 bits."""
    values = [round(curve * 256)] if isinstance(curve, float) else list(curve)
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *values)


def rgb_profile(name, primaries, white, curve):
    """Primaries and white as (x, y), the curve a power or levels."""
    columns = matrix_to_d50(primaries, white).T
    tags = _common(name)
    for letter, column in zip(b"rgb", columns, strict=True):
        tags[bytes([letter]) + b"XYZ"] = b"XYZ \0\0\0\0" + _s15(column)
        tags[bytes([letter]) + b"TRC"] = _curve(curve)
    return _profile(b"RGB ", tags)


def grey_profile(name, curve):
    return _profile(b"GRAY", _common(name) | {b"kTRC": _curve(curve)})


def _srgb_levels():
    encoded = np.linspace(0, 1, 4096)
    low, high = encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4
    return (65_535 * np.where(encoded <= 0.04045, low, high)).round().astype(int)


_D65 = (0.3127, 0.3290)
_SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
SRGB = rgb_profile("sRGB of tests", _SRGB_PRIMARIES, _D65, _srgb_levels())
DISPLAY_P3 = rgb_profile(
    "Display P3 of tests", ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), _D65, _srgb_levels()
)
ADOBE_RGB = rgb_profile(
    "Adobe RGB of tests", ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), _D65, 2.19921875
)
PROPHOTO = rgb_profile(
    "ProPhoto of tests",
    ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)),
    (0.3457, 0.3585),
    1.8,
)
GREY = grey_profile("linear grey of tests", 1.0)


def table_profile(name, side, xyz):
    """A grid of RGB, red slowest, with XYZ of D50 for each of its points."""
    entries = (np.asarray(xyz) * 32_768).round().astype(int).clip(0, 65_535).ravel()
    identity = [0, 65_535]
    lut = b"mft2\0\0\0\0" + bytes([3, 3, side, 0]) + _s15(np.eye(3).ravel())
    lut += struct.pack(">HH", 2, 2) + struct.pack(">6H", *identity * 3)
    lut += struct.pack(f">{len(entries)}H", *entries) + struct.pack(">6H", *identity * 3)
    return _profile(b"RGB ", _common(name) | {b"A2B0": lut})
