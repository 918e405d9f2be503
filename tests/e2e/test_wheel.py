"""The wheel alone: in an environment without the checkout and without network it upscales."""

import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support import ROOT

pytestmark = pytest.mark.e2e
INFO = f"hfdiff-{version('hfdiff')}.dist-info"

NO_NETWORK = """
import socket
def refuse(self, address):
    raise AssertionError(f"something tried to reach {address}")
socket.socket.connect = refuse
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that nothing is left in the checkout and nothing stale gets in."""
    pytest.importorskip("setuptools")
    copy, folder = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(
        ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
    )
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", folder, "."], cwd=copy, check=True)
    return next(folder.glob("hfdiff-*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A virtual environment with the wheel; its dependencies are those of this one, linked.

    A folder that a .pth file names is searched, but .pth files in it are not read: so the
    checkout, which such a file adds here, stays out.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "-q", "--no-index", "--no-deps", wheel], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    dependencies = "\n".join(path for path in site.getsitepackages() if Path(path).is_dir())
    (packages / "dependencies.pth").write_text(dependencies + "\n")
    (packages / "sitecustomize.py").write_text(NO_NETWORK)
    return folder


def run(environment, *arguments, cwd):
    """A program of the environment, in another folder and with another home."""
    home = cwd / "home"
    home.mkdir(exist_ok=True)
    kept = {key: os.environ[key] for key in ("OMP_NUM_THREADS", "TMPDIR") if key in os.environ}
    variables = kept | {"PATH": "/usr/bin:/bin", "HOME": str(home), "HFDIFF_OFFLINE": "1"}
    program, *rest = arguments
    done = subprocess.run(
        [environment / "bin" / program, *rest],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_models_licences_and_types_are_inside_and_little_else(wheel, capsys):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    with capsys.disabled():
        sys.stdout.write(f"\n{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB\n")

    assert wheel.stat().st_size < 20e6
    source = ROOT / "src"
    for kind in ("model/bundled/*", "**/*.safetensors", "**/*LICENSE*", "**/README.md", "py.typed"):
        for path in (source / "hfdiff").glob(kind):
            assert str(path.relative_to(source)) in names, path
    assert "hfdiff/model/bundled/identity.safetensors" in names
    assert {name for name in names if name.endswith(("/LICENSE", "/NOTICE"))} == {
        f"{INFO}/licenses/{name}" for name in ("LICENSE", "NOTICE")
    }
    assert {name.split("/")[0] for name in names} == {"hfdiff", INFO}


def test_every_weight_in_the_wheel_has_its_licence_beside_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    weights = {name for name in names if name.endswith(".safetensors") and "/data/" in name}

    assert weights
    for name in weights:
        assert name.replace(".safetensors", ".LICENSE.txt") in names


def test_the_wheel_upscales_a_picture_from_another_folder(environment, tmp_path):
    samples = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(samples).save(tmp_path / "a.png")

    said = run(environment, "hfdiff", "upscale", "a.png", cwd=tmp_path)

    assert "40x30 -> 160x120" in said
    with Image.open(tmp_path / "a_x4.png") as better:
        assert better.size == (160, 120)
    assert list((tmp_path / "home").iterdir()) == []


def test_what_runs_is_the_wheel(environment, tmp_path):
    program = "import hfdiff.model.find as f; print(f.__file__, f.find_model())"

    where = run(environment, "python", "-W", "error", "-c", program, cwd=tmp_path)

    module, model = where.split()
    assert Path(module).is_relative_to(environment)
    assert Path(model).is_relative_to(environment)
    assert str(ROOT) not in where


def test_the_wheel_knows_its_version(environment, tmp_path):
    assert run(environment, "hfdiff", "--version", cwd=tmp_path) == f"hfdiff {version('hfdiff')}\n"
