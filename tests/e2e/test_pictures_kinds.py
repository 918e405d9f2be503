"""Pictures as people have them, through the command: users 6.1, each test under its number."""

import io
import json
import os
import resource
import struct
import subprocess
import sys
import time
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hfdiff.imaging.files import read_picture

pytestmark = pytest.mark.e2e
HFDIFF = Path(sys.executable).with_name("hfdiff")
# Runs a command, then writes the most memory that it took, in bytes.
MEASURED = (
    "import pathlib, resource, subprocess, sys; code = subprocess.call(sys.argv[2:]); "
    "kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss; "
    "pathlib.Path(sys.argv[1]).write_text(str(kib * 1024)); sys.exit(code)"
)


def upscale(*arguments, expect=0, cwd=None, before=()):
    command = [*before, HFDIFF, "upscale", *arguments, "--model", "identity", "--json"]
    command = [os.fspath(part) for part in command]
    done = subprocess.run(command, capture_output=True, check=False, cwd=cwd)
    assert b"Traceback" not in done.stderr, done.stderr
    assert done.returncode == expect, done.stderr
    return {
        Path(record["path"]).name: record
        for record in map(json.loads, done.stdout.decode().splitlines())
    }


def scene(height=40, width=60):
    """Smooth colours, different in every corner."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 255 / height, x * 255 / width, 255 - (x + y) * 127 / width], 2).astype(
        np.uint8
    )


def content(kind, image=None, **options):
    stream = io.BytesIO()
    (image or Image.fromarray(scene())).save(stream, kind, **options)
    return stream.getvalue()


def reduced(path):
    """An output made as small as its source again, as far as it is smooth."""
    samples = read_picture(path).samples.astype(float)
    height, width, channels = samples.shape
    return samples.reshape(height // 4, 4, width // 4, 4, channels).mean((1, 3))


def test_6_1_1_every_orientation_comes_out_upright(tmp_path):
    turn = Image.Transpose
    stored = {2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM}
    stored |= {5: turn.TRANSPOSE, 6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(scene())
        image = image.transpose(stored[orientation]) if orientation > 1 else image
        image.save(tmp_path / f"{orientation}.jpg", exif=exif, quality=98, subsampling=0)

    upscale(tmp_path, "-o", tmp_path / "out")

    for orientation in range(1, 9):
        path = tmp_path / "out" / f"{orientation}.jpg"
        assert np.abs(reduced(path) - scene()).mean() < 3, orientation
        with Image.open(path) as image:
            assert image.getexif().get(0x0112, 1) == 1


def test_6_1_5_palettes_and_few_bits_are_as_their_expansions(tmp_path):
    flat = Image.fromarray(scene()).quantize(7)
    transparent = flat.copy()
    transparent.info["transparency"] = 2
    grey = Image.fromarray(scene()).convert("L")
    kinds = {
        "palette": flat,
        "palette-transparent": transparent,
        "bilevel": grey.convert("1"),
        "grey-alpha": Image.fromarray(np.dstack((scene(), scene()[..., :1]))).convert("LA"),
    }
    for name, image in kinds.items():
        image.save(tmp_path / f"{name}.png")
        plain = {"palette": "RGB", "palette-transparent": "RGBA", "bilevel": "L"}.get(name, "LA")
        image.convert(plain).save(tmp_path / f"{name}-plain.png")

    upscale(tmp_path, "-o", tmp_path / "out")

    for name in kinds:
        one, other = (
            read_picture(tmp_path / "out" / f"{name}{end}.png").samples for end in ("", "-plain")
        )
        assert np.array_equal(one, other), name


def test_6_1_10_grey_stays_grey(tmp_path):
    grey = scene()[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack((grey,) * 3)).save(tmp_path / "equal.png")

    upscale(tmp_path, "-o", tmp_path / "out")

    assert read_picture(tmp_path / "out" / "grey.png").channels == 1
    assert np.ptp(read_picture(tmp_path / "out" / "equal.png").samples, axis=2).max() <= 1


def _chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def bomb():
    """A few kilobytes that claim 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = _chunk(b"IDAT", zlib.compress(bytes(10_000_000), 9))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + rows + _chunk(b"IEND", b"")


def huge_tiff():
    """16 GiB claimed."""
    data = bytearray(content("TIFF"))
    for tag in (256, 257):
        place = data.index(struct.pack("<H", tag), struct.unpack("<I", data[4:8])[0])
        data[place + 2 : place + 12] = struct.pack("<HII", 4, 1, 65_536)
    return bytes(data)


def test_6_1_13_broken_and_lying_files_are_one_sentence_each_quick_and_cheap(tmp_path):
    """Against a run that enlarges one small picture, under 2 s and 200 MB more."""
    folder = tmp_path / "in"
    folder.mkdir()
    jpeg, png = content("JPEG"), content("PNG")
    files = {"empty.png": b"", "text.png": b"hello\n" * 50, "bomb.png": bomb()}
    files["huge.tif"] = huge_tiff()
    for tenth in range(10):
        files[f"cut{tenth}.jpg"] = jpeg[: len(jpeg) * tenth // 10]
        files[f"cut{tenth}.png"] = png[: len(png) * tenth // 10]
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "png-named.jpg").write_bytes(png)
    (tmp_path / "one.png").write_bytes(png)
    peaks, seconds = [], []
    runs = (("least", tmp_path / "one.png", "one/", 0), ("all", folder, "out/", 1))
    for name, source, out, expected in runs:
        begin = time.monotonic()
        before = (sys.executable, "-c", MEASURED, tmp_path / name)
        records = upscale(source, "-o", f"{tmp_path}/{out}", expect=expected, before=before)
        seconds.append(time.monotonic() - begin)
        peaks.append(int((tmp_path / name).read_text()))

    assert records.pop("png-named.jpg")["status"] == "done"
    assert set(records) == set(files)
    for record in records.values():
        assert record["status"] == "failed"
        assert record["reason"]
        assert "\n" not in record["reason"]
    assert "claims more pixels" in records["bomb.png"]["reason"]
    assert "claims more pixels" in records["huge.tif"]["reason"]
    visible = [path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."]
    assert visible == ["png-named.png"]
    assert peaks[1] - peaks[0] < 200_000_000
    assert seconds[1] - seconds[0] < 2 + len(files) * 0.1


def test_a_bomb_alone_is_refused_in_2_s_and_200_mb_of_the_whole_command(tmp_path):
    (tmp_path / "bomb.png").write_bytes(bomb())
    begin = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])

    before = (sys.executable, "-c", MEASURED, tmp_path / "peak")
    records = upscale(tmp_path / "bomb.png", "-o", tmp_path / "a.png", expect=1, before=before)

    assert "claims more pixels" in records["bomb.png"]["reason"]
    assert sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - begin < 2  # of a core
    assert int((tmp_path / "peak").read_text()) < 200_000_000


NAMES = [
    "a b.png",
    "#1,(x)&'y.png",
    "-o.png",
    "$(x)`y`;z.png",
    'quote".png',
    "new\nline.png",
    unicodedata.normalize("NFC", "Mäx.png"),
    unicodedata.normalize("NFD", "Möx.png"),
    "照片.png",
    "\N{PILE OF POO}.png",
    "trailing dot..png",
    "x" * 200 + ".png",
    os.fsdecode(b"\xff\xfe\xe4.png"),
]


def test_6_1_14_any_name_is_only_a_name(tmp_path):
    (tmp_path / "in").mkdir()
    for name in NAMES:
        (tmp_path / "in" / name).write_bytes(content("PNG"))

    upscale(".", "-o", "../out", cwd=tmp_path / "in")
    upscale("--input=-o.png", cwd=tmp_path / "in")

    assert sorted(p.name for p in (tmp_path / "out").glob("*.png")) == sorted(NAMES)
    assert (tmp_path / "in" / "-o_x4.png").exists()
    for name in NAMES:
        assert read_picture(tmp_path / "out" / name).width == 240


def test_6_1_16_of_animations_the_first_frame_is_taken_and_it_is_said(tmp_path):
    first, second = Image.new("RGB", (9, 7), (200, 10, 10)), Image.new("RGB", (9, 7), (10, 10, 200))
    for kind, ending in (("GIF", "gif"), ("PNG", "png"), ("WEBP", "webp")):
        options = {"save_all": True, "append_images": [second], "lossless": True}
        first.save(tmp_path / f"{ending}.{ending}", kind, **options)

    records = upscale(tmp_path, "-o", tmp_path / "out")

    for record in records.values():
        assert "first of 2 frames or pages" in record["notes"]
        assert (
            np.abs(read_picture(Path(record["output"])).samples[..., :3] - (200, 10, 10)).max() < 9
        )


def test_6_1_17_formats_lose_no_more_than_they_must(tmp_path):
    (tmp_path / "a.jpg").write_bytes(content("JPEG", quality=90))
    (tmp_path / "b.png").write_bytes(content("PNG"))

    upscale(tmp_path, "-o", tmp_path / "out")
    upscale(tmp_path, "-o", tmp_path / "again")
    upscale(tmp_path / "a.jpg", "-o", f"{tmp_path}/small/", "--quality", "80")

    with Image.open(tmp_path / "out" / "a.jpg") as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
        with Image.open(io.BytesIO(content("JPEG", quality=95))) as wanted:
            assert image.quantization == wanted.quantization
    size = (tmp_path / "out" / "a.jpg").stat().st_size
    assert (tmp_path / "small" / "a.jpg").stat().st_size < size
    for name in ("a.jpg", "b.png"):
        one, other = ((tmp_path / run / name).read_bytes() for run in ("out", "again"))
        assert one == other


def test_6_1_18_every_usual_ending_is_known(tmp_path):
    kinds = {"jfif": "JPEG", "jpe": "JPEG", "JPG": "JPEG", "tif": "TIFF", "TIFF": "TIFF"}
    kinds |= {"webp": "WEBP", "bmp": "BMP", "gif": "GIF", "avif": "AVIF", "apng": "PNG"}
    for ending, kind in kinds.items():
        (tmp_path / f"{ending}.{ending}").write_bytes(content(kind))

    records = upscale(tmp_path, "-o", tmp_path / "out")

    assert {record["status"] for record in records.values()} == {"done"}
    assert set(records) == {f"{ending}.{ending}" for ending in kinds}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_6_1_21_a_folder_that_may_not_be_written_is_one_sentence(tmp_path):
    (tmp_path / "a.png").write_bytes(content("PNG"))
    (tmp_path / "out").mkdir(mode=0o555)

    record = upscale(tmp_path / "a.png", "-o", tmp_path / "out", expect=1)["a.png"]

    assert "Permission denied" in record["reason"]


def test_6_1_21_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    """A limit on the size of files stands in for the disk."""
    (tmp_path / "a.png").write_bytes(content("PNG", Image.effect_noise((200, 200), 90)))
    before = ("bash", "-c", 'trap "" XFSZ; ulimit -f 64; exec "$@"', "-")

    record = upscale(tmp_path / "a.png", "-o", f"{tmp_path}/out/", expect=1, before=before)["a.png"]

    assert "File too large" in record["reason"]
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix == ".png"]
    assert (tmp_path / "a.png").read_bytes()
