"""Outputs say how they were made, in XMP, and nothing when told not to (spec 6.11, users 7.12)."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageCms

from hfdiff.imaging.files import read_picture
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.provenance import LARGEST, NAMESPACE, SOURCE_TYPE, with_provenance

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
OWN = "{" + NAMESPACE + "}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<r:Description r:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<dc:title><r:Alt><r:li xml:lang='x-default'>Beach &amp; sea</r:li></r:Alt></dc:title>"
    "{more}</r:Description></r:RDF></x:xmpmeta><?xpacket end='w'?>"
)


def stated(xmp):
    """Attributes of all descriptions, by their names."""
    root = ElementTree.fromstring(xmp)
    found = {}
    for description in root.iter(f"{RDF}Description"):
        assert not found.keys() & description.attrib.keys() - {f"{RDF}about"}
        found |= description.attrib
    return found


def test_a_picture_without_xmp_gets_a_packet():
    facts = stated(with_provenance(None, {"Model": 'a "b" <c>', "Seed": 7}))

    assert facts[f"{IPTC}DigitalSourceType"] == SOURCE_TYPE
    assert facts[f"{OWN}Model"] == 'a "b" <c>'
    assert facts[f"{OWN}Seed"] == "7"
    assert facts[f"{OWN}Software"].startswith("hfdiff ")


@pytest.mark.parametrize(
    "more",
    [
        "",
        "<i:DigitalSourceType xmlns:i='http://iptc.org/std/Iptc4xmpExt/2008-02-29/'>"
        "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture</i:DigitalSourceType>",
    ],
)
def test_what_a_packet_says_otherwise_stays(more):
    xmp = with_provenance(PACKET.replace("{more}", more).encode(), {"Seed": 1})

    assert stated(xmp)[f"{IPTC}DigitalSourceType"] == SOURCE_TYPE
    assert "Beach &amp; sea" in xmp.decode()
    assert b"digitalCapture" not in xmp


def test_it_is_stated_once_however_often_a_picture_is_enlarged():
    once = with_provenance(PACKET.replace("{more}", "").encode(), {"Seed": 1})
    twice = with_provenance(once, {"Seed": 2})

    assert stated(twice)[f"{OWN}Seed"] == "2"
    assert twice.count(b"DigitalSourceType") == 1
    assert len(twice) == len(once)


@pytest.mark.parametrize(
    "xmp",
    [
        b"no XML",
        b"\xff\xfe<\0x\0",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY b "bb">]><a xmlns:r="r"><r:RDF>&b;</r:RDF></a>',
        PACKET.replace("{more}", "x" * LARGEST).encode(),
    ],
)
def test_a_packet_that_takes_nothing_is_left_alone(xmp):
    assert with_provenance(xmp, {"Seed": 1}) is None


@pytest.fixture
def source(tmp_path):
    """A photograph with everything that is carried over."""
    samples = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = PACKET.replace("{more}", "").encode()
    path = tmp_path / "a.jpg"
    Image.fromarray(samples).save(path, exif=exif, icc_profile=icc, xmp=xmp, dpi=(300, 300))
    return path


@pytest.mark.parametrize("name", ["b.jpg", "b.png", "b.webp", "b.tif", "b.avif"])
def test_every_format_carries_it(identity, source, tmp_path, name):
    path = identity.upscale_file(
        source, tmp_path / name, UpscaleOptions(seed=3, tile=16, overlap=4)
    )

    facts = stated(read_picture(path).metadata.xmp)
    assert facts[f"{OWN}Model"] == "identity"
    assert facts[f"{OWN}ModelHash"] == f"sha256:{identity.description.content_hash}"
    assert facts[f"{OWN}Seed"] == "3"
    assert facts[f"{OWN}Options"] == ("size=120x80 steps=1 dtype=float32 tile=16 overlap=4")


def test_a_tile_that_holds_the_picture_is_stated_as_the_whole_picture(identity, source, tmp_path):
    """users 6.2.8: bytes equal."""
    outputs = [
        identity.upscale_file(source, tmp_path / f"{tile}.png", UpscaleOptions(tile=tile))
        for tile in (0, 64, 512)
    ]

    assert len({path.read_bytes() for path in outputs}) == 1


def test_it_can_be_left_out_and_metadata_too(identity, source, tmp_path):
    plain = identity.upscale_file(source, tmp_path / "plain.jpg", provenance=False)
    stripped = identity.upscale_file(source, tmp_path / "stripped.jpg", strip_metadata=True)

    assert NAMESPACE.encode() not in plain.read_bytes()
    assert b"Beach &amp; sea" in plain.read_bytes()
    metadata = read_picture(stripped).metadata
    assert metadata.icc == read_picture(source).metadata.icc is not None
    assert (metadata.exif, metadata.xmp, metadata.dpi) == (None, None, None)
    assert b"Maker" not in stripped.read_bytes()


def test_a_packet_that_takes_nothing_is_noted(identity, source, tmp_path):
    from hfdiff.upscaling.options import Naming
    from hfdiff.upscaling.plan import plan_work
    from hfdiff.upscaling.run import run_plan

    with Image.open(source) as image:
        image.save(tmp_path / "odd.jpg", xmp=b"<a/>")
    naming = Naming(output=Path(tmp_path / "odd_x4.jpg"))
    plan = plan_work([str(tmp_path / "odd.jpg")], naming, UpscaleOptions(), model_scale=4)

    (record,) = run_plan(plan, identity, UpscaleOptions())

    assert record.notes == ("its XMP takes no provenance and was left as it is",)
