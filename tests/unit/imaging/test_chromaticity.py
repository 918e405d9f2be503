"""PNG files that state their colours in numbers keep them, as a profile."""

import io
import struct
import zlib

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

import profiles
from hfdiff.imaging.chromaticity import profile_of
from hfdiff.imaging.files import encode_picture, read_picture

SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
ADOBE = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
SAMPLES = np.random.default_rng(0).integers(0, 65_536, (20, 20, 3)).astype(np.uint16)


def png(chunks, mode="RGB"):
    stream = io.BytesIO()
    Image.new(mode, (4, 3)).save(stream, "PNG")
    data = stream.getvalue()
    for name, body in chunks.items():
        chunk = struct.pack(">I", len(body)) + name + body
        data = data[:33] + chunk + struct.pack(">I", zlib.crc32(name + body)) + data[33:]
    return io.BytesIO(data)


def gama(gamma):
    return {b"gAMA": struct.pack(">I", round(gamma * 100_000))}


def chrm(primaries):
    return {b"cHRM": struct.pack(">8I", *(round(value * 100_000) for value in primaries))}


def lab(icc):
    image = pyvips.Image.new_from_array(SAMPLES, interpretation="rgb16").copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    return image.icc_import(embedded=True, pcs="lab", intent="relative")


def test_gamma_and_primaries_mean_what_a_profile_of_them_means():
    icc = profile_of(1 / 2.19921875, ADOBE, grey=False)

    assert lab(icc).dE00(lab(profiles.ADOBE_RGB)).max() < 0.1


@pytest.mark.parametrize("grey", [True, False])
def test_such_a_profile_has_a_name_that_tells_where_it_comes_from(grey):
    profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_of(1.0, None, grey=grey)))

    assert ImageCms.getProfileDescription(profile).strip() == "gamma 1 of the file"


@pytest.mark.parametrize(
    ("gamma", "primaries"),
    [
        (0.45455, None),
        (0.45455, SRGB),
        (None, None),
        (0.0, None),
        (1e9, None),
        (1.0, (0.3, 0.3, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)),
        (1.0, (0.0,) * 8),
        (1.0, (0.3,)),
    ],
)
def test_srgb_and_numbers_that_cannot_be_meant_give_none(gamma, primaries):
    assert profile_of(gamma, primaries, grey=False) is None


def test_a_png_of_another_gamma_keeps_it_in_every_format():
    picture = read_picture(png(gama(1.0) | chrm(ADOBE)))

    assert picture.notes == ("colours stay in their profile, gamma 1 of the file",)
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF"):
        again = read_picture(io.BytesIO(encode_picture(picture, kind)))
        assert again.metadata.icc == picture.metadata.icc


@pytest.mark.parametrize("chunks", [gama(0.45455), gama(0.45), {b"sRGB": b"\0"} | gama(1.0), {}])
def test_a_png_of_srgb_gets_no_profile(chunks):
    assert read_picture(png(chunks)).metadata.icc is None


@pytest.mark.parametrize(
    ("coding", "notes"),
    [
        (b"\x09\x10\x00\x01", ("colours coded by CICP 9/16 (PQ) are taken as sRGB",)),
        (b"\x09\x12\x00\x01", ("colours coded by CICP 9/18 (HLG) are taken as sRGB",)),
        (b"\x0c\x0d\x00\x01", ("colours coded by CICP 12/13 are taken as sRGB",)),
        (b"\x01\x0d\x00\x01", ()),
    ],
)
def test_colours_that_are_not_handled_are_said(coding, notes):
    assert read_picture(png({b"cICP": coding})).notes == notes
