"""Reading weight files as others published them: ResShift, SinSR, VQ-f4 (facts g).

Nothing in such a file is executed. Every key is accounted for against the network that the file is
for; a file that is something else is named for what it is.
"""

import pickle
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hfdiff.core.errors import CheckpointError, some_of
from hfdiff.core.files import sha256_of
from hfdiff.model.convert.families import family_of, foreign_format
from hfdiff.nn.autoencoder import VQAutoencoder, VQAutoencoderConfig
from hfdiff.nn.swin_unet import SwinUNet, SwinUNetConfig

Kind = Literal["unet", "autoencoder"]

WRAPPERS = ("state_dict", "ema", "model", "params_ema", "params")
"""Keys under which files hold the weights themselves; averaged weights before raw ones."""

PREFIXES = ("module.", "_orig_mod.")
"""What multi-process and compiled training put before keys, in this order."""

CONSTANTS = ("attn_mask", "relative_position_index")
"""Last parts of keys whose values are recomputed, of whatever size they are (facts c.6)."""

TITLES: Mapping[Kind, str] = {
    "unet": "a ResShift or SinSR denoising network",
    "autoencoder": "a VQ autoencoder",
}

_NOT_LOADABLE = (
    pickle.UnpicklingError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OSError,
)


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """The weights of one published file, under the keys of our networks.

    Attributes:
        kind: Which network they are for.
        tensors: Every parameter, float32, on the CPU; no constants, nothing else.
        source_sha256: SHA-256 of the file.
    """

    kind: Kind
    tensors: Mapping[str, Tensor]
    source_sha256: str


def read_published(
    path: Path,
    *,
    expect: Kind | None = None,
    unet: SwinUNetConfig | None = None,
    autoencoder: VQAutoencoderConfig | None = None,
) -> PublishedWeights:
    """Read a published ``.pth`` or ``.ckpt`` file.

    Wrappers and key prefixes of training runs are taken off; constants, and the ``loss.*`` keys
    of the latent-diffusion autoencoder, are dropped; half weights become float32.

    Args:
        path: The file.
        expect: Refuse a file of the other kind; None takes both.
        unet: Sizes of the denoising network, by default the published x4 ones.
        autoencoder: Sizes of the autoencoder, by default the published ones.

    Raises:
        CheckpointError: when the file is something else, damaged, of other sizes, or lacks or
            adds keys; the message says which.
    """
    weights = _strip(_unwrap(_load(path), path), path)
    kind = _kind_of(weights, path)
    if expect is not None and kind != expect:
        raise CheckpointError(f"{path} holds {TITLES[kind]}; expected was {TITLES[expect]}")
    with torch.device("meta"):  # shapes only: nothing is allocated or initialised
        network: nn.Module = (
            SwinUNet(unet or SwinUNetConfig())
            if kind == "unet"
            else VQAutoencoder(autoencoder or VQAutoencoderConfig())
        )
    kept = {key: tensor for key, tensor in weights.items() if not _is_dropped(key, kind)}
    _check_against(network, kept, path)
    tensors = {key: _as_float32(key, tensor, path) for key, tensor in kept.items()}
    return PublishedWeights(kind=kind, tensors=tensors, source_sha256=sha256_of(path))


def _load(path: Path) -> Any:
    """The document in a file that torch wrote, tensors and plain values only."""
    if not path.is_file():
        raise CheckpointError(f"weight file {path} does not exist")
    foreign = foreign_format(path)
    if foreign is not None:
        raise CheckpointError(
            f"{path} is {foreign}, not a PyTorch weight file", hint=_hint_for(foreign)
        )
    _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251  (this is the place)
    except _NOT_LOADABLE as error:
        raise _not_loaded(path, error) from error


def _not_loaded(path: Path, error: Exception) -> CheckpointError:
    """What torch's complaint means to a user; torch has no error types for these."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, EOFError) or "EOF" in reason or "truncated" in reason:
        return _cut_off(path)
    if isinstance(error, pickle.UnpicklingError):
        return CheckpointError(
            f"{path} holds more than tensors and plain values, or is damaged; it is not loaded",
            hint="loading such a file could run code; take the file from its original release",
        )
    return CheckpointError(f"{path} cannot be read as a PyTorch file: {reason}")


def _check_archive(path: Path) -> None:
    """Today's torch files are zip archives, whose directory is at their end."""
    with path.open("rb") as stream:
        if stream.read(2) != b"PK":
            return
    if not zipfile.is_zipfile(path):
        raise _cut_off(path)
    with zipfile.ZipFile(path) as archive:
        if not any(name.endswith("data.pkl") for name in archive.namelist()):
            raise CheckpointError(f"{path} is a zip archive, not a PyTorch weight file")


def _cut_off(path: Path) -> CheckpointError:
    size = path.stat().st_size
    return CheckpointError(
        f"{path} is cut off: it ends after {size:,} bytes", hint="download it again"
    )


def _hint_for(foreign: str) -> str | None:
    if "safetensors" in foreign:
        return "a model file of hfdiff needs no conversion; published files end in .pth or .ckpt"
    return "download the file itself, not the page or pointer that leads to it"


def _unwrap(document: Any, path: Path) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise CheckpointError(f"{path} holds a {type(document).__name__}, not named weights")
    for name in WRAPPERS:
        if isinstance(document.get(name), Mapping):
            return document[name]
    return document


def _strip(weights: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Bare keys and detached tensors; anything that is no tensor is named."""
    others = sorted(str(key) for key, value in weights.items() if not isinstance(value, Tensor))
    if others or not weights:
        what = f"entries that are no tensors: {some_of(others)}" if others else "no weights"
        raise CheckpointError(f"{path} holds {what}")
    stripped = {_bare(str(key)): tensor.detach() for key, tensor in weights.items()}
    if len(stripped) != len(weights):
        raise CheckpointError(f"{path} holds the same weights with and without a prefix")
    return stripped


def _bare(key: str) -> str:
    for prefix in PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _kind_of(weights: Mapping[str, Tensor], path: Path) -> Kind:
    family = family_of(weights)
    for kind in TITLES:
        if family == kind:
            return kind
    known = " or ".join(TITLES.values())
    what = family or f"an unknown network with keys such as {some_of(sorted(weights), 3)}"
    raise CheckpointError(f"{path} holds {what}; expected was {known}")


def _is_dropped(key: str, kind: Kind) -> bool:
    if kind == "autoencoder":
        return key.startswith("loss.")
    return key.rpartition(".")[2] in CONSTANTS


def _check_against(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Exactly the network's keys, each with its shape."""
    expected = network.state_dict()
    faults = [
        *_named("lacks", expected.keys() - tensors.keys()),
        *_named("adds", tensors.keys() - expected.keys()),
    ]
    if faults:
        raise CheckpointError(f"{path} does not fit the published network: {'; '.join(faults)}")
    wrong = [key for key in expected if tensors[key].shape != expected[key].shape]
    if wrong:
        first, count = wrong[0], len(wrong)
        want, came = list(expected[first].shape), list(tensors[first].shape)
        raise CheckpointError(
            f"{path} has other sizes than the published network in {count} of {len(expected)} "
            f"tensors: {first} must have the shape {want}, got {came}",
            hint="only the x4 super-resolution models are known; face and inpainting ones differ",
        )


def _named(verb: str, keys: Iterable[str]) -> list[str]:
    names = sorted(keys)
    return [f"it {verb} {len(names)} tensors ({some_of(names)})"] if names else []


def _as_float32(key: str, tensor: Tensor, path: Path) -> Tensor:
    if not tensor.is_floating_point():
        raise CheckpointError(f"{path}: {key} must hold floats, got {tensor.dtype}")
    if not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(f"{path}: {key} holds values that are not finite")
    return tensor.to(torch.float32)
