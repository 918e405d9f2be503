"""``hfdiff info``: what a model, a picture or this machine is."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def info(
    subject: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL|PICTURE]", help="Default: the default model."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Describe a model (sizes, licence, limits), a picture, and this machine.

    Example: hfdiff info
    """
    from hfdiff.imaging.files import PICTURE_SUFFIXES

    is_picture = subject is not None and Path(subject).suffix.lower() in PICTURE_SUFFIXES
    facts = _picture_facts(Path(str(subject))) if is_picture else _model_facts(subject)
    facts |= _machine_facts()
    if as_json:
        typer.echo(json.dumps(facts, default=str))
        return
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        typer.echo(f"{key:<{width}}  {value}")


def _model_facts(name: str | None) -> dict[str, Any]:
    from hfdiff.model.document import EXTRACTOR, read_document
    from hfdiff.model.find import find_model
    from hfdiff.model.model_file import load_model

    path = find_model(name)
    if read_document(path).get("kind") == EXTRACTOR:
        return _extractor_facts(path)
    model, description = load_model(path)
    config = description.config
    return {
        "model": description.card.name,
        "file": path,
        "kind": description.kind,
        "scale": config.scale,
        "denoiser": _part(config.network, model.network),
        "codec": _part(config.codec, model.codec),
        "tile": f"{config.tile} px, overlap {config.overlap} px",
        **_card_facts(description),
    }


def _extractor_facts(path: Path) -> dict[str, Any]:
    from hfdiff.model.extractor_file import load_extractor

    extractor, description = load_extractor(path)
    modules = description.config.invertible
    return {
        "model": description.card.name,
        "file": path,
        "kind": description.kind,
        "network": _part(description.config, extractor),
        "modules": f"{modules.modules} of width {modules.width}, maps {modules.maps}",
        **_card_facts(description),
    }


def _card_facts(description: Any) -> dict[str, Any]:
    card = description.card
    return {
        "licence": card.licence,
        "data": card.data_terms or "not stated",
        "limits": card.limits or "not stated",
        "training": json.dumps(card.training) if card.training else "none",
        "written by": f"hfdiff {description.package}",
        "hash": description.content_hash,
    }


def _part(config: Any, network: Any) -> str:
    if config is None:
        return "none"
    count = sum(parameter.numel() for parameter in network.parameters())
    return f"{config.kind}, {count:,} parameters"


def _picture_facts(path: Path) -> dict[str, Any]:
    from hfdiff.imaging.files import read_picture

    picture = read_picture(path)
    kinds = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGB with alpha"}
    metadata = picture.metadata
    held = [name for name in ("icc", "exif", "xmp", "dpi") if getattr(metadata, name) is not None]
    return {
        "picture": path,
        "format": picture.format,
        "size": f"{picture.width}x{picture.height}",
        "samples": f"{kinds[picture.channels]}, {picture.samples.itemsize * 8} bit",
        "metadata": ", ".join(held) or "none",
        "notes": "; ".join(picture.notes) or "none",
    }


def _machine_facts() -> dict[str, Any]:
    import os
    import platform
    from importlib.metadata import version

    import torch

    from hfdiff.core.devices import resolve_device

    return {
        "hfdiff": version("hfdiff"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": f"{resolve_device('auto')} ({os.cpu_count()} CPU cores)",
        "backend": "torch",
    }
