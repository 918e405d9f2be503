"""The model file of kind ``extractor``: H alone, described as any model file (spec 3.5).

The classifier head of its pretraining is not kept.
"""

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from hfdiff.core.errors import CheckpointError, SettingsError
from hfdiff.core.settings import plain, validate
from hfdiff.core.weights import content_hash, load_strictly
from hfdiff.model.document import EXTRACTOR, FORMAT_VERSION, read_document
from hfdiff.model.model_file import ModelCard, read_described, write_described
from hfdiff.nn.extractor import Extractor, ExtractorConfig


@dataclass(frozen=True, kw_only=True)
class ExtractorDescription:
    """The JSON document inside an extractor's file."""

    format: int
    kind: Literal["extractor"]
    config: ExtractorConfig
    card: ModelCard
    package: str
    content_hash: str


def save_extractor(path: Path, extractor: Extractor, card: ModelCard) -> ExtractorDescription:
    """Write an extractor; a path without ``.safetensors`` becomes a folder in the hub's layout."""
    tensors = extractor.state_dict()
    description = ExtractorDescription(
        format=FORMAT_VERSION,
        kind="extractor",
        config=extractor.config,
        card=card,
        package=version("hfdiff"),
        content_hash=content_hash(tensors),
    )
    document = {**asdict(description), "config": plain(description.config)}
    write_described(path, tensors, document)
    return description


def load_extractor(path: Path) -> tuple[Extractor, ExtractorDescription]:
    """Read an extractor, frozen and in evaluation mode.

    Raises:
        CheckpointError: when it is missing, damaged, of an unknown version, or another kind.
    """
    description = describe_extractor(path)
    tensors = read_described(path, description.content_hash)
    try:
        extractor = Extractor(description.config)
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: its networks cannot be built: {reason}") from error
    load_strictly(extractor, tensors, str(path))
    return extractor.requires_grad_(False).eval(), description


def describe_extractor(path: Path) -> ExtractorDescription:
    """What an extractor's file says about itself, without reading its weights.

    Raises:
        CheckpointError: as `load_extractor`.
    """
    document = read_document(path)
    kind = document.get("kind")
    if kind != EXTRACTOR:
        raise CheckpointError(f"{path} must hold a feature extractor, it is of kind {kind}")
    try:
        return validate(document, ExtractorDescription, str(path))
    except SettingsError as error:
        raise CheckpointError(str(error), hint=error.hint) from error
