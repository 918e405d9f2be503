"""The public names: all there, resolved lazily, the same objects as at home."""

import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest

import hfdiff


@pytest.mark.parametrize("name", hfdiff.__all__)
def test_every_public_name_is_there(name):
    assert getattr(hfdiff, name) is not None
    assert name in dir(hfdiff)


@pytest.mark.parametrize(("name", "home"), hfdiff._HOMES.items())
def test_a_name_is_the_object_of_its_home(name, home):
    assert getattr(hfdiff, name) is getattr(import_module(home), name)


def test_the_names_for_people_and_those_for_type_checkers_are_the_same():
    assert set(hfdiff.__all__) == set(hfdiff._HOMES) | {"__version__"}


def test_the_version_is_that_of_the_installed_package():
    assert hfdiff.__version__ == version("hfdiff")


def test_another_name_is_an_error_as_of_any_module():
    with pytest.raises(AttributeError, match="module 'hfdiff' has no attribute 'upscaler'"):
        hfdiff.upscaler  # noqa: B018


def test_submodules_are_still_imported_as_usual():
    from hfdiff.upscaling import upscaler

    assert upscaler.Upscaler is hfdiff.Upscaler


def test_a_light_name_imports_nothing_heavy():
    program = (
        "import sys, hfdiff\n"
        "hfdiff.HFDiffError, hfdiff.UpscaleOptions, hfdiff.PRESETS, hfdiff.__version__\n"
        "sys.exit('torch' in sys.modules)"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
