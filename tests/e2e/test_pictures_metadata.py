"""What phones and cameras put into and behind their pictures, through the command."""

import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import profiles
from hfdiff.imaging.files import read_picture, write_picture
from hfdiff.imaging.picture import Metadata, Picture

pytestmark = pytest.mark.e2e
HFDIFF = Path(sys.executable).with_name("hfdiff")
SAMPLES = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
ULTRA_HDR = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" '
    b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" '
    b'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    b'xmlns:Item="http://ns.google.com/photos/1.0/container/item/" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="a bee" '
    b'hdrgm:Version="1.0" GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1">'
    b'<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item '
    b'Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li><rdf:li '
    b'rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" '
    b'Item:Length="700"/></rdf:li><rdf:li rdf:parseType="Resource"><Container:Item '
    b'Item:Semantic="MotionPhoto" Item:Mime="video/mp4" Item:Length="9"/></rdf:li></rdf:Seq>'
    b"</Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def upscale(*arguments, expect=0):
    command = [HFDIFF, "upscale", *arguments, "--model", "identity", "--json"]
    done = subprocess.run([os.fspath(part) for part in command], capture_output=True, check=False)
    assert b"Traceback" not in done.stderr, done.stderr
    assert done.returncode == expect, done.stderr
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def phone_picture():
    """A JPEG with a second one behind it (MPF), a film behind that, and XMP that lists all."""
    stream = io.BytesIO()
    gain_map = Image.new("L", (8, 6), 90)
    Image.fromarray(SAMPLES).save(
        stream, "MPO", save_all=True, append_images=[gain_map], xmp=ULTRA_HDR, quality=95
    )
    return stream.getvalue() + b"\0\0\0\x18ftypmp42 a film"


def test_a_gain_map_and_a_motion_photo_are_removed_and_said(tmp_path):
    (tmp_path / "a.jpg").write_bytes(phone_picture())

    (record,) = upscale(tmp_path / "a.jpg", "-o", f"{tmp_path}/out/")

    (note,) = [note for note in record["notes"] if note.startswith("left out: ")]
    parts = set(note.removeprefix("left out: ").split(", "))
    assert parts == {"gain map", "motion photo", "list of parts", "further pictures"}
    content = (tmp_path / "out" / "a.jpg").read_bytes()
    for gone in (b"MPF\0", b"hdrgm:Version", b"MotionPhoto", b"Container:Item", b"ftypmp42"):
        assert gone in phone_picture()
        assert gone not in content
    assert b'dc:source="a bee"' in content
    assert content.count(b"\xff\xd8\xff") == 1
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("JPEG", (64, 48))


def test_what_a_samsung_camera_put_behind_the_picture_is_said(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(SAMPLES).save(stream, "JPEG")
    (tmp_path / "a.jpg").write_bytes(stream.getvalue() + b"MotionPhoto_Data film SEFT")

    (record,) = upscale(tmp_path / "a.jpg", "-o", f"{tmp_path}/out/")

    assert "left out: what a Samsung camera put behind the picture" in record["notes"]
    assert b"MotionPhoto" not in (tmp_path / "out" / "a.jpg").read_bytes()


def test_a_manifest_of_content_credentials_is_said_to_be_left_out(tmp_path):
    stream = io.BytesIO()
    manifest = b"JP\0\1\0\0\0\1" + struct.pack(">I", 40) + b"jumb" + b"c2pa manifest"
    segment = b"\xff\xeb" + struct.pack(">H", len(manifest) + 2) + manifest
    Image.fromarray(SAMPLES).save(stream, "JPEG", extra=segment)
    (tmp_path / "a.jpg").write_bytes(stream.getvalue())

    (record,) = upscale(tmp_path / "a.jpg", "-o", f"{tmp_path}/out/")

    assert "left out: C2PA manifest" in record["notes"]
    assert b"c2pa manifest" not in (tmp_path / "out" / "a.jpg").read_bytes()


@pytest.mark.parametrize("ending", ["tif", "png", "avif"])
def test_16_bit_pictures_keep_what_they_say_and_gain_nothing(tmp_path, ending):
    """A name that is not UTF-8, brackets in it, EXIF, XMP, profile and 300 dpi, or none of them."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0132] = "Camera works", "2024:07:01 12:00:00"
    exif[0x8769] = {0x9003: "2024:07:01 12:00:00"}
    said = Metadata(icc=profiles.DISPLAY_P3, exif=exif.tobytes(), dpi=(300, 300))
    names = {os.fsdecode(b"\xfc[1]." + ending.encode()): said, f"b[page=2].{ending}": Metadata()}
    (tmp_path / "in").mkdir()
    for name, metadata in names.items():
        picture = Picture(samples=SAMPLES.astype(np.uint16) * 257, metadata=metadata)
        write_picture(picture, tmp_path / "in" / name, {"tif": "TIFF"}.get(ending, ending.upper()))

    upscale(tmp_path / "in", "-o", tmp_path / "out", "--no-provenance")

    first, second = (read_picture(tmp_path / "out" / name) for name in names)
    assert first.samples.dtype == second.samples.dtype == np.uint16
    assert first.metadata.icc == profiles.DISPLAY_P3
    assert b"Camera works" in first.metadata.exif
    if ending != "avif":
        assert first.metadata.dpi == pytest.approx((300, 300), abs=0.1)
    assert second.metadata == Metadata()


def test_pictures_that_are_not_read_are_failed_by_name_not_passed_over(tmp_path):
    Image.fromarray(SAMPLES).save(tmp_path / "a.png")
    (tmp_path / "b.nef").write_bytes(b"MM\0*")
    (tmp_path / "c.JXL").write_bytes(b"\xff\x0a")
    (tmp_path / "d.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    (tmp_path / "notes.txt").write_text("no picture")

    records = upscale(tmp_path, "-o", tmp_path / "out", expect=1)

    status = {Path(record["path"]).name: record for record in records}
    assert set(status) == {"a.png", "b.nef", "c.JXL", "d.heic"}
    assert status["a.png"]["status"] == "done"
    assert status["b.nef"]["status"] == "failed"
    assert status["c.JXL"]["reason"] == "JPEG XL is not read: convert it first, to PNG or TIFF"
    assert status["d.heic"]["status"] == "failed"
