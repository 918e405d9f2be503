"""Colours in, the same colours out: profiles wider than sRGB, 8 and 16 bits, by CIEDE2000."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips

import profiles
from support import ROOT

pytestmark = pytest.mark.e2e
HFDIFF = Path(sys.executable).with_name("hfdiff")
WIDE = {"p3": profiles.DISPLAY_P3, "adobe": profiles.ADOBE_RGB, "prophoto": profiles.PROPHOTO}
TAGGED = {**WIDE, "srgb": profiles.SRGB, "untagged": None}
FORMS = {"8.png": 8, "16.png": 16, "8.tif": 8, "16.tif": 16}
NAMES = [f"{space}-{form}" for space in TAGGED for form in FORMS]


def chart():
    """Patches of 16 pixels: every mixture of five levels a channel, most of them outside sRGB."""
    levels = np.linspace(0, 65_535, 5)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), 3).reshape(-1, 3)
    patches = np.concatenate((colours, colours[:19])).reshape(12, 12, 3)
    return patches.repeat(16, 0).repeat(16, 1).round().astype(np.uint16)


def tagged(samples, icc):
    """16-bit samples as an image of libvips that carries a profile (sRGB where none)."""
    image = pyvips.Image.new_from_array(samples, interpretation="rgb16").copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc or profiles.SRGB)
    return image


def photograph(icc):
    """A photograph of sRGB in the code values of another profile, 16 bits."""
    source = pyvips.Image.new_from_file(str(ROOT / "examples" / "pictures" / "bee.png")).numpy()
    wide = tagged(source[..., :3].astype(np.uint16) * 257, None)
    if icc is None:
        return wide.numpy()
    lab = wide.icc_import(embedded=True, pcs="lab", intent="relative")
    lab.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    return lab.icc_export(pcs="lab", intent="relative", depth=16).numpy()


def write(path, samples, icc):
    """8 bits where the name says so; the profile where there is one."""
    bits = FORMS[path.name.split("-")[-1]]
    image = tagged(samples, icc)
    if bits == 8:
        rounded = np.round(samples / 257).astype(np.uint8)
        image = pyvips.Image.new_from_array(rounded, interpretation="srgb").copy()
        if icc is not None:
            image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    image.write_to_file(str(path), keep="none" if icc is None else "icc")


def lab_of(path, shrink=1):
    """Colours as the file itself says they are meant, downscaled."""
    image = pyvips.Image.new_from_file(str(path))
    if image.get_typeof("icc-profile-data") == 0:
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profiles.SRGB)
    if shrink > 1:
        image = image.resize(1 / shrink, kernel="cubic")
    return image.icc_import(embedded=True, pcs="lab", intent="relative")


def difference(source, output):
    return lab_of(source).dE00(lab_of(output, 4)).numpy()


def within(errors):
    """Of a chart the patches without their borders, where any enlargement mixes two of them."""
    patches = errors.reshape(12, 16, 12, 16)
    return patches[:, 4:-4, :, 4:-4]


def upscale(folder, output, *options):
    command = [HFDIFF, "upscale", folder, "-o", output, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of the identity over photographs and charts in every profile and form."""
    home = tmp_path_factory.mktemp("colours")
    for kind, scene in (("photo", photograph), ("chart", lambda _: chart())):
        (home / "in" / kind).mkdir(parents=True)
        for name in NAMES:
            icc = TAGGED[name.split("-")[0]]
            write(home / "in" / kind / name, scene(icc), icc)
    upscale(home / "in", home / "out", "--model", "identity")
    return home


@pytest.mark.parametrize("name", NAMES)
def test_a_photograph_keeps_its_colours(runs, name):
    assert difference(runs / "in" / "photo" / name, runs / "out" / "photo" / name).mean() < 1


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_of_colours_outside_srgb_keeps_them(runs, name):
    errors = within(difference(runs / "in" / "chart" / name, runs / "out" / "chart" / name))

    assert np.percentile(errors, 95) < 2


@pytest.mark.parametrize("space", WIDE)
def test_the_measure_sees_a_lost_profile(runs, space, tmp_path):
    """Were the profile dropped, this is what the two tests above would have found."""
    for kind, limit in (("photo", 1), ("chart", 2)):
        kept = pyvips.Image.new_from_file(str(runs / "out" / kind / f"{space}-16.png"))
        kept.write_to_file(str(tmp_path / "lost.png"), keep="none")
        errors = difference(runs / "in" / kind / f"{space}-16.png", tmp_path / "lost.png")
        assert np.percentile(errors, 95) > limit


@pytest.mark.parametrize("space", WIDE)
def test_the_profile_is_said_to_stay(runs, space, tmp_path):
    shutil.copy(runs / "in" / "chart" / f"{space}-8.png", tmp_path / "a.png")

    done = subprocess.run(
        [str(HFDIFF), "upscale", str(tmp_path / "a.png"), "--model", "identity"],
        capture_output=True,
        check=True,
    )

    assert "colours stay in their profile, " in done.stdout.decode()


@pytest.mark.slow
def test_the_model_in_the_box_changes_colours_of_other_profiles_no_more_than_of_srgb(
    runs, tmp_path
):
    """It sees their samples as they are; what it changes of sRGB (noise, above all) is its own."""
    names = ["untagged-8.png", "p3-8.png", "adobe-16.tif", "prophoto-16.png"]
    (tmp_path / "in").mkdir()
    for name in names:
        shutil.copy(runs / "in" / "photo" / name, tmp_path / "in" / name)

    upscale(tmp_path / "in", tmp_path / "out")

    untagged, *wide = (
        difference(tmp_path / "in" / name, tmp_path / "out" / name).mean() for name in names
    )
    assert max(wide) < untagged + 0.5
