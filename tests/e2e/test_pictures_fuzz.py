"""Mutated files through the command: no traceback, no hang, little memory, nothing misplaced."""

import io
import json
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hfdiff.imaging.files import encode_picture
from hfdiff.imaging.picture import Metadata, Picture
from profiles import DISPLAY_P3

pytestmark = pytest.mark.e2e
HFDIFF = Path(sys.executable).with_name("hfdiff")
ENDINGS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "TIFF": "tif"}
MEMORY = 1_000_000_000  # bytes resident, of which torch takes nearly half
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a xmlns:g="http://ns.adobe.com/hdr-gain-map/1.0/"'
    b' g:Version="1.0"/></x:xmpmeta>'
)
# Runs a command that cannot take all memory of the machine, and writes what it took at most.
MEASURED = f"""
import pathlib, resource, subprocess, sys
resource.setrlimit(resource.RLIMIT_DATA, ({4 * MEMORY}, {4 * MEMORY}))
code = subprocess.call(sys.argv[2:])
kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
pathlib.Path(sys.argv[1]).write_text(str(kib * 1024))
sys.exit(code)
"""


def whole_files():
    """Small pictures of each format with all kinds of blocks, 8 and 16 bits."""
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112], exif[0x0132] = 6, "2024:07:01 12:00:00"
    exif[0x8769] = {0x829A: (1, 250), 0x927C: b"maker's own"}
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    metadata = Metadata(icc=DISPLAY_P3, exif=exif.tobytes(), xmp=XMP, dpi=(300, 300))
    files = []
    for kind in ENDINGS:
        for channels, dtype in ((1, np.uint8), (3, np.uint8), (4, np.uint8), (3, np.uint16)):
            if (kind, channels) == ("JPEG", 4):
                continue
            samples = rng.integers(0, np.iinfo(dtype).max, (9, 12, channels), dtype)
            for said in (metadata, Metadata()):
                if said.icc and channels == 1:
                    continue
                picture = Picture(samples=samples, metadata=said)
                files.append((kind, encode_picture(picture, kind)))
    stream = io.BytesIO()
    frames = [Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)) for _ in range(3)]
    frames[0].save(stream, "PNG", save_all=True, append_images=frames[1:])
    files.append(("PNG", stream.getvalue()))
    stream = io.BytesIO()
    frames[0].convert("P").save(stream, "TIFF", compression="tiff_lzw")
    files.append(("TIFF", stream.getvalue()))
    return files


def mutated(data, rng, other):
    """Bytes changed, cut, doubled, spliced, or a number made enormous."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(data))
        match rng.randrange(7):
            case 0:
                data[place] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
            case 1:
                del data[place : place + rng.randint(1, 40)]
            case 2:
                data[place:place] = data[place : place + rng.randint(1, 200)]
            case 3:
                data[place : place + 4] = struct.pack(
                    rng.choice("<>") + "I",
                    rng.choice((0, 1, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)),
                )
            case 4:
                data[place:] = other[rng.randrange(len(other)) :]
            case 5:
                data[place] ^= 1 << rng.randrange(8)
            case 6:
                del data[place:]
        data = data or bytearray(b"\0")
    return bytes(data)


def with_right_sums(data):
    """A PNG whose chunks' checksums fit again, so that the damage reaches what is behind them."""
    result, place = bytearray(data[:8]), 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4])
        body = data[place + 4 : place + 8 + length]
        if len(body) != 4 + length:
            break
        result += struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return bytes(result + data[place:])


def write_mutations(folder, count):
    rng, files = random.Random(7), whole_files()
    folder.mkdir()
    for number in range(count):
        kind, data = files[number % len(files)]
        data = mutated(data, rng, rng.choice(files)[1])
        if kind == "PNG" and rng.random() < 0.7:
            data = with_right_sums(data)
        (folder / f"{number}.{ENDINGS[kind]}").write_bytes(data)


@pytest.mark.parametrize(
    ("count", "seconds"), [(200, 60), pytest.param(2000, 300, marks=pytest.mark.slow)]
)
def test_mutated_files_do_no_harm(count, seconds, tmp_path):
    """Each is one record: done, or failed with one sentence. Limits of time and of memory hold."""
    write_mutations(tmp_path / "in", count)
    arguments = [HFDIFF, "upscale", tmp_path / "in", "-o", tmp_path / "out", "--json"]
    peak = tmp_path / "peak"
    command = [sys.executable, "-c", MEASURED, peak, *arguments, "--model", "identity"]

    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        timeout=seconds,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path / "tmp")},
    )

    error = done.stderr.decode(errors="replace")
    assert done.returncode in (0, 1), error[-2000:]
    assert "Traceback" not in error
    assert int(peak.read_text()) < MEMORY
    peak.unlink()
    records = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert len(records) == count
    failed = [record for record in records if record["status"] != "done"]
    assert 0.2 * count < len(failed) < count
    for record in failed:
        assert record["status"] == "failed"
        assert record["reason"]
        assert "\n" not in record["reason"]
        assert not record["reason"].startswith(
            ("TypeError", "ValueError", "KeyError", "IndexError")
        )
    outputs = {Path(record["output"]) for record in records if record["status"] == "done"}
    present = {path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "in"}
    assert outputs == {path for path in present if not path.name.startswith(".hfdiff")}
    for path in outputs:
        with Image.open(path) as image:
            image.load()
