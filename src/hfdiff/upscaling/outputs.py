"""From an enlarged picture to its file: metadata, provenance, writing whole or not at all."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from hfdiff.core.errors import ImageError
from hfdiff.core.files import replacing
from hfdiff.imaging.encode import PictureWriter
from hfdiff.imaging.files import picture_writer, save_picture
from hfdiff.imaging.picture import Metadata, Picture
from hfdiff.model.model_file import Description
from hfdiff.upscaling.names import Job
from hfdiff.upscaling.options import UpscaleOptions, Writing
from hfdiff.upscaling.provenance import with_provenance
from hfdiff.upscaling.work import Account, Progress, RowSink, Work

if TYPE_CHECKING:  # which writes files too
    from hfdiff.upscaling.upscaler import Upscaler

_T = TypeVar("_T")


def write_enlarged(
    upscaler: "Upscaler",
    picture: Picture,
    stream: IO[bytes],
    format: str,  # noqa: A002
    options: UpscaleOptions,
    writing: Writing,
    on_progress: Progress | None = None,
) -> Account:
    """Enlarge a picture into an open file: rows go there as soon as they are finished.

    Args:
        upscaler: The model at work.
        picture: The low-quality picture.
        stream: Where to; it must be able to seek and be empty.
        format: A key of FORMATS that can hold the picture.
        options: Size, seed, steps, tiling.
        writing: How the file is encoded, and what it says of itself.
        on_progress: Called with (tiles done, tiles in all).

    Returns:
        How it came about, with all notes there are on it.

    Raises:
        ImageError: when the format cannot hold the picture.
        OSError: when the file cannot be written.
        ResourceError: as `Upscaler.enlarge`.
        SettingsError: the same.
    """
    writers: list[PictureWriter] = []
    more: tuple[str, ...] = ()

    def begun(work: Work) -> RowSink:
        """A file begun anew: memory may have run out on the first one."""
        nonlocal more
        stream.seek(0)
        stream.truncate()
        facts = _facts(work, upscaler.description, upscaler.dtype_name)
        described, more = _described(picture, writing, facts)
        writers[:] = [picture_writer(stream, format, work.target_size, described, writing.quality)]
        return RowSink(work, writers[0].write)

    account = upscaler.enlarge_into(picture, options, begun, on_progress=on_progress)
    if writers:
        writers[0].close()
    else:  # large enough as it was
        described, more = _described(picture, writing, None)
        save_picture(described, stream, format, quality=writing.quality)
    return replace(account, notes=(*picture.notes, *account.notes, *more))


def _described(
    picture: Picture, writing: Writing, facts: Mapping[str, object] | None
) -> tuple[Picture, tuple[str, ...]]:
    """A picture with what its output's file will say, and notes on what that could not be told."""
    metadata = picture.metadata
    if writing.strip_metadata:
        return replace(picture, metadata=Metadata(icc=metadata.icc)), ()
    if not writing.provenance or facts is None:
        return picture, ()
    xmp = with_provenance(metadata.xmp, facts)
    if xmp is None:
        return picture, ("its XMP takes no provenance and was left as it is",)
    return replace(picture, metadata=replace(metadata, xmp=xmp)), ()


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
    target: Path,
    write: Callable[[IO[bytes]], Account],
    *,
    before: Callable[[Path], None] = _nothing,
) -> Account:
    """Write an output whole or not at all.

    Args:
        target: What it will be called.
        write: Fills the open file.
        before: Called with the finished file before it takes its name.

    Raises:
        ImageError: when the file cannot be written.
    """

    def fill(scratch: Path) -> Account:
        with scratch.open("wb") as stream:
            return write(stream)

    return _replace(target, fill, before)


def is_copied(job: Job, writing: Writing) -> bool:
    """Whether the output will be the source's own bytes."""
    return job.is_kept and job.format == job.source_format and not writing.strip_metadata


def copy_output(job: Job, *, before: Callable[[Path], None]) -> None:
    """The source's own bytes as the output.

    Raises:
        ImageError: when the file cannot be written.
    """
    _replace(job.target, lambda scratch: shutil.copyfile(job.source, scratch), before)


def _replace(target: Path, write: Callable[[Path], _T], before: Callable[[Path], None]) -> _T:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as scratch:
            result = write(scratch)
            before(scratch)
    except OSError as error:
        raise ImageError(f"cannot write {target}: {error.strerror or error}") from error
    else:
        return result


def _facts(work: Work, description: Description, dtype: str) -> dict[str, object]:
    options, config = work.options, description.config
    stated: dict[str, object] = {
        "size": "{}x{}".format(*work.target_size),
        "steps": options.steps,
        "dtype": dtype,
        "tile": 0,
    }
    if len(work.plan) > 1:  # what is one tile is the whole picture, however it was asked for
        stated["tile"] = config.tile if options.tile is None else options.tile
        stated["overlap"] = config.overlap if options.overlap is None else options.overlap
    return {
        "Model": description.card.name,
        "ModelHash": f"sha256:{description.content_hash}",
        "Seed": options.seed,
        "Options": " ".join(f"{key}={value}" for key, value in stated.items()),
    }
