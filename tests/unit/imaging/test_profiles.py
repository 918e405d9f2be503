"""ICC profiles: kept with their samples, broken ones left behind, inks brought into sRGB."""

import io

import numpy as np
import pytest
import pyvips
from PIL import Image

import profiles
from hfdiff.imaging.files import encode_picture, read_picture
from hfdiff.imaging.profiles import fits, in_srgb, is_srgb, name_of, srgb

SAMPLES = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
INKS = np.random.default_rng(1).integers(0, 200, (6, 5, 4), np.uint8).repeat(8, 0).repeat(8, 1)


def of_inks():
    """A profile of CMYK with tables, as libvips has one in its box."""
    image = pyvips.Image.new_from_array(INKS, interpretation="cmyk")
    white = image.icc_import(input_profile="cmyk", intent="relative")
    return white.icc_export(output_profile="cmyk").get("icc-profile-data")


def with_tables():
    """A profile of RGB with tables instead of a matrix, made of nothing but curves and a grid."""
    grid = np.linspace(0, 1, 9)
    red, green, blue = np.meshgrid(grid, grid, grid, indexing="ij")
    linear = np.stack((red, green, blue), 3).reshape(-1, 3) ** 2
    matrix = profiles.matrix_to_d50(((0.66, 0.33), (0.28, 0.65), (0.15, 0.07)), (0.3457, 0.3585))
    xyz = (linear @ matrix.T).clip(0, 1.99)
    return profiles.table_profile("tables of tests", 9, xyz)


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream


@pytest.mark.parametrize(
    ("mode", "icc"),
    [
        ("RGB", profiles.SRGB),
        ("RGB", profiles.DISPLAY_P3),
        ("RGB", profiles.ADOBE_RGB),
        ("RGB", profiles.PROPHOTO),
        ("RGB", with_tables()),
        ("L", profiles.GREY),
    ],
    ids=["sRGB", "Display P3", "Adobe RGB", "ProPhoto", "tables", "grey"],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_a_profile_stays_with_its_samples(mode, icc, kind):
    """users 6.1.3. WebP knows no grey, and so no profile of it."""
    picture = read_picture(saved(Image.fromarray(SAMPLES).convert(mode), "PNG", icc_profile=icc))

    again = read_picture(io.BytesIO(encode_picture(picture, kind)))

    assert picture.metadata.icc == icc
    assert again.metadata.icc == (None if (kind, mode) == ("WEBP", "L") else icc)


@pytest.mark.parametrize(
    "broken", [b"no profile", bytes(200), profiles.DISPLAY_P3[:140], b"\xff" * 128]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_broken_profile_is_left_behind_and_said(broken, kind):
    picture = read_picture(saved(Image.fromarray(SAMPLES), kind, icc_profile=broken))

    assert picture.metadata.icc is None
    assert "the colour profile is broken: taken as sRGB" in picture.notes


def test_profiles_that_are_not_srgb_are_named():
    picture = read_picture(saved(Image.fromarray(SAMPLES), "PNG", icc_profile=profiles.DISPLAY_P3))

    assert picture.notes == ("colours stay in their profile, Display P3 of tests",)
    assert name_of(profiles.DISPLAY_P3) == "Display P3 of tests"
    assert name_of(b"broken") is None
    assert is_srgb("sRGB IEC61966-2.1")
    assert not is_srgb("Display P3")


def test_a_profile_fits_samples_of_its_own_kind_only():
    assert fits(profiles.GREY, "L")
    assert not fits(profiles.GREY, "CMYK")
    assert not fits(profiles.SRGB, "L")
    assert not fits(None, "L")


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_become_rgb_by_their_profile(kind):
    """users 6.1.4: within Delta E 3 of another colour library's conversion."""
    icc = of_inks()
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    stream = saved(Image.fromarray(INKS, "CMYK"), kind, icc_profile=icc, **options)

    picture = read_picture(stream)

    image = pyvips.Image.new_from_buffer(stream.getvalue(), "")
    lab = image.icc_import(embedded=True, intent="relative", black_point_compensation=True)
    wanted = lab.icc_export(
        output_profile="srgb", intent="relative", black_point_compensation=True
    ).icc_import(input_profile="srgb")
    mine = pyvips.Image.new_from_array(picture.samples, interpretation="srgb")
    assert "CMYK converted to sRGB by its profile" in picture.notes
    assert picture.metadata.icc == srgb()
    assert is_srgb(name_of(srgb()))
    assert mine.icc_import(input_profile="srgb").dE00(wanted).numpy().max() < 3


@pytest.mark.parametrize("transform", [0, 2], ids=["CMYK", "YCCK"])
def test_inks_of_adobe_without_a_profile_are_read_as_browsers_show_them(transform):
    """Stored inverted, and said to be so by Adobe's marker; libvips is the other decoder."""
    data = saved(Image.fromarray(INKS, "CMYK"), "JPEG", quality=100, subsampling=0).getvalue()
    place = data.index(b"Adobe") + 11
    assert data[place] == 0
    data = data[:place] + bytes([transform]) + data[place + 1 :]

    picture = read_picture(io.BytesIO(data))

    ink = pyvips.Image.new_from_buffer(data, "").numpy() / 255
    wanted = 255 * (1 - ink[:, :, :3]) * (1 - ink[:, :, 3:])
    assert np.abs(picture.samples - wanted).max() < 4


def test_a_profile_whose_tables_are_broken_is_not_used():
    icc = bytearray(of_inks())
    icc[132:] = icc[132:].replace(b"A2B", b"xyz")  # the list of its parts has none

    image = in_srgb(Image.fromarray(INKS, "CMYK"), bytes(icc))

    picture = read_picture(saved(Image.fromarray(INKS, "CMYK"), "JPEG", icc_profile=bytes(icc)))
    assert image.mode == "RGB"
    assert not fits(bytes(icc), "CMYK")
    assert (picture.notes, picture.metadata.icc) == (("CMYK converted to RGB",), None)
