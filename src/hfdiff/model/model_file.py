"""The model file (spec 3.5): one .safetensors that says itself what it is.

The metadata of the file hold one JSON document under the key ``hfdiff``; the hub's layout, a
folder with config.json and model.safetensors, is read and written as well. Nothing is executed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from hfdiff.core.errors import CheckpointError, SettingsError
from hfdiff.core.files import replacing
from hfdiff.core.settings import plain, validate
from hfdiff.core.weights import (
    content_hash,
    load_strictly,
    read_weights,
    write_weights,
)
from hfdiff.model.build import build_model
from hfdiff.model.config import ModelConfig
from hfdiff.model.document import (
    CONFIG_NAME,
    EXTRACTOR,
    FORMAT_VERSION,
    KEY,
    WEIGHTS_NAME,
    read_document,
    weights_path,
)
from hfdiff.model.sr_model import SRModel

_FOREIGN = (".pth", ".pt", ".ckpt", ".bin", ".onnx", ".pkl", ".safetensor")
Kind = Literal["sr", "autoencoder", "teacher"]
_KINDS: Mapping[str, Kind] = {"student": "sr", "teacher": "teacher", "codec": "autoencoder"}


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model file says about itself besides its networks.

    Attributes:
        name: Short name, such as ``lite`` or ``SinSR_v1``.
        licence: Licence of the weights.
        data_terms: What it was trained on and under which terms.
        training: How it was made: presets, iterations, frozen networks, hashes.
        limits: What it is not good at, for ``hfdiff info``.
    """

    name: str
    licence: str
    data_terms: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    limits: str = ""


@dataclass(frozen=True, kw_only=True)
class Description:
    """The JSON document inside a model file."""

    format: int
    kind: Kind
    config: ModelConfig
    card: ModelCard
    package: str
    content_hash: str


def save_model(path: Path, model: SRModel, card: ModelCard, *, half: bool = False) -> Description:
    """Write a model file; a path without ``.safetensors`` becomes a folder in the hub's layout.

    With ``half`` floats take two bytes on disk; they are float32 again when read.
    """
    tensors = model.state_dict()
    if half:
        tensors = {key: t.half() if t.is_floating_point() else t for key, t in tensors.items()}
    description = Description(
        format=FORMAT_VERSION,
        kind=_KINDS[model.config.role],
        config=model.config,
        card=card,
        package=version("hfdiff"),
        content_hash=content_hash(tensors),
    )
    write_described(path, tensors, _plain(description))
    return description


def load_model(path: Path) -> tuple[SRModel, Description]:
    """Read a model file or folder and build its networks, ready for inference.

    Raises:
        CheckpointError: when it is missing, damaged, of an unknown version, or does not fit.
    """
    description = describe(path)
    tensors = read_described(path, description.content_hash)
    try:
        model = build_model(description.config)
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: its networks cannot be built: {reason}") from error
    load_strictly(model, tensors, str(path))
    return model, description


def describe(path: Path) -> Description:
    """What a model file says about itself, without reading its weights.

    Raises:
        CheckpointError: as `load_model`.
    """
    document = read_document(path)
    if document.get("kind") == EXTRACTOR:
        raise CheckpointError(
            f"{path} holds a feature extractor and cannot upscale",
            hint="it is for the term hf of distillation and for `hfdiff features`",
        )
    try:
        return validate(document, Description, str(path))
    except SettingsError as error:
        raise CheckpointError(str(error), hint=error.hint) from error


# What follows is the same for every kind of file, this module's and `extractor_file`'s.


def write_described(path: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write weights with a description inside: a .safetensors file or a folder, as `save_model`.

    Raises:
        SettingsError: for a name that people give to files of other kinds.
    """
    line = {KEY: json.dumps(document, sort_keys=True)}
    if path.suffix == ".safetensors":
        path.parent.mkdir(parents=True, exist_ok=True)
        write_weights(path, tensors, line)
        return
    if path.suffix in _FOREIGN:
        raise SettingsError(
            f"{path} would be a folder", hint="end the name in .safetensors for one file"
        )
    path.mkdir(parents=True, exist_ok=True)
    write_weights(path / WEIGHTS_NAME, tensors, line)
    with replacing(path / CONFIG_NAME) as scratch:
        scratch.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_described(path: Path, stated_hash: str) -> dict[str, Tensor]:
    """The weights of a file or folder in float32, whose hash must be the stated one.

    Raises:
        CheckpointError: when it is not.
    """
    tensors, _ = read_weights(weights_path(path))
    if content_hash(tensors) != stated_hash:
        raise CheckpointError(
            f"the weights in {path} are damaged: their hash is not the stated one"
        )
    return _as_float32(tensors)


def _plain(description: Description) -> dict[str, Any]:
    return {**asdict(description), "config": plain(description.config)}


def _as_float32(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Shipped files hold half floats; networks compute in float32 unless asked otherwise.
    return {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}
