"""EXIF blocks mended where they lie."""

import random

import pytest
from PIL import ExifTags, Image

from exif_blocks import exif_block
from hfdiff.imaging.exif import mended, with_sides

THUMBNAIL = b"\xff\xd8 a small picture \xff\xd9"


def loaded(block):
    exif = Image.Exif()
    exif.load(block)
    return exif


@pytest.mark.parametrize("order", "<>")
def test_orientation_and_thumbnail_go_and_the_rest_stays_where_it_was(order):
    whole = exif_block(order, artist="Mäx".encode(), note=b"a note", thumbnail=THUMBNAIL)

    block, had_thumbnail = mended(whole)

    assert had_thumbnail
    assert THUMBNAIL not in block
    exif = loaded(block)
    assert ExifTags.Base.Orientation not in exif
    assert exif[0x013B] == "Mäx".encode().decode("latin-1")
    assert exif[ExifTags.Base.Make] == "me"
    assert exif.get_ifd(ExifTags.IFD.Exif)[0x927C] == b"a note"
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    note = whole.index(b"a note")
    assert block[note : note + 6] == b"a note"


def test_a_block_without_either_stays_as_it_is():
    once, _ = mended(exif_block(artist=b"somebody"))

    assert mended(once) == (once, False)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("sides", [(64, 48), (70_000, 48)])
def test_sizes_become_those_of_the_output(order, sides):
    """A short number that does not suffice becomes a long one, in the same four bytes."""
    block = with_sides(exif_block(order, note=b"a note"), *sides)

    inner = loaded(block).get_ifd(ExifTags.IFD.Exif)
    assert (inner[0xA002], inner[0xA003]) == sides
    assert inner[0x927C] == b"a note"


@pytest.mark.parametrize("block", [b"", b"Exif\0\0", b"Exif\0\0XX*\0", b"II*\0\xff\xff\xff\xff"])
def test_damaged_blocks_are_told(block):
    for mend in (mended, lambda damaged: with_sides(damaged, 4, 4)):
        with pytest.raises(ValueError, match=r"byte orders|out of the block"):
            mend(block)


def test_random_damage_is_told_or_mended():
    """2,000 mutations, fixed seed; a mended block can be mended again."""
    rng, outcomes = random.Random(0), {"told": 0, "mended": 0}
    whole = exif_block(note=b"a note", thumbnail=THUMBNAIL)
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 5)):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 255, rng.randrange(256)))
        del data[rng.randrange(len(data)) if rng.random() < 0.3 else len(data) :]
        try:
            block, _ = mended(bytes(data))
            mended(block)
            with_sides(block, 70_000, 5)
            outcomes["mended"] += 1
        except ValueError:
            outcomes["told"] += 1
    assert min(outcomes.values()) > 100
