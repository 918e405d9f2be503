"""The JSON document inside a model file, read without its networks or weights. No torch here."""

import json
from pathlib import Path
from typing import Any

from hfdiff.core.errors import CheckpointError
from hfdiff.core.weight_notes import read_metadata

FORMAT_VERSION = 1
WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
KEY = "hfdiff"
EXTRACTOR = "extractor"  # the kind of file that is no model: see `hfdiff.model.extractor_file`


def read_document(path: Path) -> dict[str, Any]:
    """The description inside a file or folder, of a format that this hfdiff reads.

    Raises:
        CheckpointError: when there is none, or of another format.
    """
    document = _document(path)
    if document.get("format") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has the model file format {document.get('format')!r}, "
            f"this hfdiff reads {FORMAT_VERSION}",
            hint="install the hfdiff that wrote it, or a newer one",
        )
    return document


def stated_scale(path: Path) -> int | None:
    """By how much the model in a file enlarges, so that work can be planned before it is loaded.

    None where the document does not say so in plain numbers: then `describe` has to judge it.

    Raises:
        CheckpointError: as `read_document`.
    """
    document = read_document(path)
    config = document.get("config")
    scale = config.get("scale") if isinstance(config, dict) else None
    is_plain = document.get("kind") != EXTRACTOR and type(scale) is int and scale >= 1
    return scale if is_plain else None


def weights_path(path: Path) -> Path:
    """Where the weights of a model file or folder are."""
    return path / WEIGHTS_NAME if path.is_dir() else path


def _document(path: Path) -> dict[str, Any]:
    text = read_metadata(weights_path(path)).get(KEY)
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
