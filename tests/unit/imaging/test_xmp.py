"""What XMP says of parts that are gone is cut out; everything else stays byte for byte."""

import time

import pytest

from hfdiff.imaging.xmp import without_lost_parts, xmp_with_size

GAIN_MAP = b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
CONTAINER = b'xmlns:Container="http://ns.google.com/photos/1.0/container/"'
ITEM = b'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"'
CAMERA = b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
TITLE = b'xmlns:dc="http://purl.org/dc/elements/1.1/"'
RDF = b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'


def packet(declarations, attributes, inside=b""):
    return (
        b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b"<rdf:RDF " + RDF + b'><rdf:Description rdf:about="" ' + declarations + attributes + b">"
        b"" + inside + b"</rdf:Description></rdf:RDF></x:xmpmeta>"
        b'<?xpacket end="w"?>'
    )


DIRECTORY = (
    b'<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item '
    b'Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="5"/></rdf:li></rdf:Seq>'
    b"</Container:Directory>"
)


def test_a_gain_map_and_a_motion_photo_are_cut_out():
    declared = b" ".join((GAIN_MAP, CONTAINER, ITEM, CAMERA, TITLE))
    kept = b' GCamera:hdrp_makernote="abc" dc:title="a &lt; b > c"'
    lost = b""" hdrgm:Version="1.0"\n GCamera:MotionPhoto='1' GCamera:MicroVideoOffset = "12>3" """
    whole = packet(declared, lost.rstrip() + kept, b"<dc:x>bee</dc:x>\xc3\xa4" + DIRECTORY)

    shorter, said = without_lost_parts(whole)

    assert shorter == packet(declared, kept, b"<dc:x>bee</dc:x>\xc3\xa4")
    assert set(said) == {"gain map", "motion photo", "list of parts"}


def test_elements_are_cut_out_whichever_way_they_are_written():
    inside = b'<hdrgm:Version>1.0</hdrgm:Version><hdrgm:A b="x>y"/><dc:title>bee</dc:title>'

    shorter, said = without_lost_parts(packet(GAIN_MAP + b" " + TITLE, b"", inside))

    assert shorter == packet(GAIN_MAP + b" " + TITLE, b"", b"<dc:title>bee</dc:title>")
    assert said == ("gain map",)


def test_the_namespace_decides_not_the_prefix():
    same = b'xmlns:q="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:hdrgm="http://example.org/"'

    shorter, said = without_lost_parts(packet(same, b' q:Version="1" hdrgm:Version="2"'))

    assert shorter == packet(same, b' hdrgm:Version="2"')
    assert said == ("gain map",)


def test_a_packet_of_nothing_that_is_gone_stays_as_it_is():
    whole = packet(TITLE, b' dc:title="bee"')

    assert without_lost_parts(whole) == (whole, ())


def test_padding_and_zeros_around_a_packet_do_no_harm():
    whole = packet(TITLE, b' dc:title="bee"')

    assert without_lost_parts(b"\n" + whole + b"  \n\0") == (whole, ())


@pytest.mark.parametrize(
    "broken",
    [b"", b"no packet", b"<a", b"<a></b>", packet(TITLE, b"")[:-30], b"\xff\xfe\x00", bytes(10)],
)
def test_a_broken_packet_is_left_behind(broken):
    assert without_lost_parts(broken) == (None, ())


def test_entities_that_grow_without_end_are_refused():
    lines = [b'<!ENTITY a0 "aaaaaaaaaa">']
    lines += [b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10)]
    bomb = b"<!DOCTYPE x [" + b"".join(lines) + b"]><x>&a9;</x>"

    assert without_lost_parts(bomb) == (None, ())


def test_a_long_packet_takes_a_time_in_proportion():
    inside = b"<hdrgm:Version>1</hdrgm:Version>" * 30_000  # one megabyte, all of it to be cut out
    begin = time.perf_counter()

    shorter, _ = without_lost_parts(packet(GAIN_MAP, b"", inside))

    assert shorter == packet(GAIN_MAP, b"")
    assert time.perf_counter() - begin < 5


def test_sizes_are_made_right_in_both_ways_of_writing():
    text = b"<exif:PixelYDimension>5</exif:PixelYDimension><a tiff:ImageWidth='7' b=\"7\"/>"

    assert xmp_with_size(text, 70, 50) == (
        b"<exif:PixelYDimension>50</exif:PixelYDimension><a tiff:ImageWidth='70' b=\"7\"/>"
    )
