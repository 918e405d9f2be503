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
    read_metadata,
    read_weights,
    write_weights,
)
from hfdiff.model.build import build_model
from hfdiff.model.config import ModelConfig
from hfdiff.model.sr_model import SRModel

FORMAT_VERSION = 1
WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
_KEY = "hfdiff"
Kind = Literal["sr", "autoencoder", "teacher", "extractor"]
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


def save_model(path: Path, model: SRModel, card: ModelCard) -> Description:
    """Write a model file; a path without ``.safetensors`` becomes a folder in the hub's layout."""
    tensors = model.state_dict()
    description = Description(
        format=FORMAT_VERSION,
        kind=_KINDS[model.config.role],
        config=model.config,
        card=card,
        package=version("hfdiff"),
        content_hash=content_hash(tensors),
    )
    document = json.dumps(_plain(description), sort_keys=True)
    if path.suffix == ".safetensors":
        path.parent.mkdir(parents=True, exist_ok=True)
        write_weights(path, tensors, {_KEY: document})
    else:
        path.mkdir(parents=True, exist_ok=True)
        write_weights(path / WEIGHTS_NAME, tensors, {_KEY: document})
        with replacing(path / CONFIG_NAME) as scratch:
            scratch.write_text(json.dumps(_plain(description), indent=2) + "\n", encoding="utf-8")
    return description


def load_model(path: Path) -> tuple[SRModel, Description]:
    """Read a model file or folder and build its networks, ready for inference.

    Raises:
        CheckpointError: when it is missing, damaged, of an unknown version, or does not fit.
    """
    description = describe(path)
    tensors, _ = read_weights(_weights_path(path))
    if content_hash(tensors) != description.content_hash:
        raise CheckpointError(
            f"the weights in {path} are damaged: their hash is not the stated one"
        )
    try:
        model = build_model(description.config)
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: its networks cannot be built: {reason}") from error
    load_strictly(model, _as_float32(tensors), str(path))
    return model, description


def describe(path: Path) -> Description:
    """What a model file says about itself, without reading its weights.

    Raises:
        CheckpointError: as `load_model`.
    """
    document = _document(path)
    if document.get("format") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has the model file format {document.get('format')!r}, "
            f"this hfdiff reads {FORMAT_VERSION}",
            hint="install the hfdiff that wrote it, or a newer one",
        )
    try:
        return validate(document, Description, str(path))
    except SettingsError as error:
        raise CheckpointError(str(error), hint=error.hint) from error


def _plain(description: Description) -> Any:
    return {**asdict(description), "config": plain(description.config)}


def _weights_path(path: Path) -> Path:
    return path / WEIGHTS_NAME if path.is_dir() else path


def _document(path: Path) -> dict[str, Any]:
    text = read_metadata(_weights_path(path)).get(_KEY)
    if text is None and (path / CONFIG_NAME).is_file():
        text = (path / CONFIG_NAME).read_text(encoding="utf-8")
    if text is None:
        raise CheckpointError(
            f"{path} is a .safetensors file but no hfdiff model: it does not describe its networks"
        )
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: the description is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: the description is not a JSON object")
    return document


def _as_float32(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Shipped files hold half floats; networks compute in float32 unless asked otherwise.
    return {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}
