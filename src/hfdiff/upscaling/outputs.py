"""From an enlarged picture to its file: metadata, provenance, writing whole or not at all."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hfdiff.core.errors import ImageError
from hfdiff.core.files import replacing
from hfdiff.imaging.files import save_picture
from hfdiff.imaging.picture import Metadata, Picture
from hfdiff.model.model_file import Description
from hfdiff.upscaling.names import Job
from hfdiff.upscaling.options import UpscaleOptions, Writing
from hfdiff.upscaling.provenance import with_provenance
from hfdiff.upscaling.work import Enlarged


def finished(
    enlarged: Enlarged, description: Description, dtype: str, writing: Writing
) -> tuple[Picture, tuple[str, ...]]:
    """The picture as it goes into its file, and notes on what it could not be told."""
    picture = enlarged.picture
    if writing.strip_metadata:
        return replace(picture, metadata=Metadata(icc=picture.metadata.icc)), ()
    if not writing.provenance or not enlarged.tiles:
        return picture, ()
    xmp = with_provenance(picture.metadata.xmp, _facts(enlarged, description, dtype))
    if xmp is None:
        return picture, ("its XMP takes no provenance and was left as it is",)
    return replace(picture, metadata=replace(picture.metadata, xmp=xmp)), ()


def made_by(
    job: Job, description: Description, dtype: str, options: UpscaleOptions, writing: Writing
) -> dict[str, Any]:
    """What a file's bytes follow from besides its source, as JSON has it."""
    stated = {key: value for key, value in asdict(options).items() if key != "batch"}
    lists = {key: list(v) if isinstance(v, tuple) else v for key, v in stated.items()}
    model = description.content_hash
    return {"model": model, "dtype": dtype, "format": job.format, **lists, **asdict(writing)}


def _nothing(scratch: Path) -> None:
    """Nobody wants to look at the file before it takes its name."""


def write_output(
    picture: Picture, job: Job, writing: Writing, *, before: Callable[[Path], None] = _nothing
) -> None:
    """Write a job's output; ``before`` is called with the finished file before it takes its name.

    Raises:
        ImageError: when the format cannot hold the picture or the file cannot be written.
    """

    def write(scratch: Path) -> None:
        with scratch.open("wb") as stream:
            save_picture(picture, stream, job.format, quality=writing.quality)

    _replace(job.target, write, before)


def copy_output(job: Job, *, before: Callable[[Path], None]) -> None:
    """The source's own bytes as the output.

    Raises:
        ImageError: when the file cannot be written.
    """
    _replace(job.target, lambda scratch: shutil.copyfile(job.source, scratch), before)


def _replace(target: Path, write: Callable[[Path], object], before: Callable[[Path], None]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as scratch:
            write(scratch)
            before(scratch)
    except OSError as error:
        raise ImageError(f"cannot write {target}: {error.strerror or error}") from error


def _facts(enlarged: Enlarged, description: Description, dtype: str) -> dict[str, object]:
    options, config = enlarged.options, description.config
    stated: dict[str, object] = {
        "size": f"{enlarged.picture.width}x{enlarged.picture.height}",
        "steps": options.steps,
        "dtype": dtype,
        "tile": 0,
    }
    if enlarged.tiles > 1:  # what is one tile is the whole picture, however it was asked for
        stated["tile"] = config.tile if options.tile is None else options.tile
        stated["overlap"] = config.overlap if options.overlap is None else options.overlap
    return {
        "Model": description.card.name,
        "ModelHash": f"sha256:{description.content_hash}",
        "Seed": options.seed,
        "Options": " ".join(f"{key}={value}" for key, value in stated.items()),
    }
