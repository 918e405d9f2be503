"""From inputs to outputs, before anything is computed: names, clashes, formats and their limits.

No torch here: a folder of ten thousand pictures is planned by headers alone.
"""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hfdiff.core.errors import HFDiffError, ImageError, SettingsError
from hfdiff.imaging.files import FORMATS, PICTURE_SUFFIXES, Header, check_holds, read_header
from hfdiff.upscaling.options import UpscaleOptions, target_size


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How outputs are named and written.

    Attributes:
        output: A file (for one input), a folder, or None: beside the source.
        format: A key of FORMATS, or None: the source's own, PNG where that cannot be written.
        suffix: Put behind the name; None: ``_x4`` beside the source, nothing elsewhere.
        overwrite: Whether existing outputs are made anew.
        recursive: Whether folders are entered.
    """

    output: Path | None = None
    format: str | None = None
    suffix: str | None = None
    overwrite: bool = False
    recursive: bool = True


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture to make: where from, where to, as what."""

    source: Path
    target: Path
    format: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An input that will not be computed, and why; ``exists`` where its output is there already."""

    source: Path
    reason: str
    target: Path | None = None
    exists: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that will be done, and what will not."""

    jobs: tuple[Job, ...]
    refusals: tuple[Refusal, ...]
    ignored: int


@dataclass(frozen=True, kw_only=True)
class _Found:
    """An input file, and its path below the folder that was named (its name for a file)."""

    path: Path
    below: Path
    header: Header


def plan_work(
    inputs: Iterable[str], naming: Naming, options: UpscaleOptions, *, model_scale: int
) -> Plan:
    """Decide name, format and fate of every input.

    Args:
        inputs: Files, folders and glob patterns, as typed.
        naming: How outputs are named.
        options: What sizes are wanted.
        model_scale: The model's own factor, which is the default scale.

    Raises:
        SettingsError: when an input does not exist, or many inputs meet one output file.
    """
    paths, ignored = _expand(list(inputs), naming)
    found, refusals = _read_headers(paths)
    single = _single_file_output(naming, paths)
    jobs = [_job(item, naming, single, options, model_scale) for item in found]
    jobs = _without_clashes(jobs, found, naming) if single is None else jobs
    kept = []
    for item, job in zip(found, jobs, strict=True):
        refusal = _refuse(item, job, naming, options, model_scale)
        if refusal is None:
            kept.append(job)
        else:
            refusals.append(refusal)
    return Plan(jobs=tuple(kept), refusals=tuple(refusals), ignored=ignored)


def _expand(inputs: list[str], naming: Naming) -> tuple[list[tuple[Path, Path]], int]:
    """All input files with their path below the named folder, in one order, none twice."""
    found: dict[Path, Path] = {}
    ignored = 0
    for text in inputs:
        for path in _matches(text):
            if path.is_dir():
                for file in _walk(path, naming):
                    if file.suffix.lower() in PICTURE_SUFFIXES:
                        found.setdefault(file, file.relative_to(path))
                    else:
                        ignored += 1
            else:
                found.setdefault(path, Path(path.name))
    return sorted(found.items()), ignored


def _matches(text: str) -> list[Path]:
    path = Path(text)
    if path.exists():
        return [path]
    found = glob.glob(text, recursive=True)  # noqa: PTH207  (Path.glob takes no absolute pattern)
    matches = [Path(match) for match in sorted(found)]
    if not matches:
        raise SettingsError(f"input {text} does not exist")
    return matches


def _walk(folder: Path, naming: Naming) -> Iterator[Path]:
    """Visible files of a folder; links to folders are not followed, the output is not entered."""
    output = naming.output.resolve() if naming.output is not None else None
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(
            name
            for name in folders
            if naming.recursive
            and not name.startswith(".")
            and (output is None or (here / name).resolve() != output)
        )
        yield from (here / name for name in sorted(files) if not name.startswith("."))


def _read_headers(paths: list[tuple[Path, Path]]) -> tuple[list[_Found], list[Refusal]]:
    found, refusals = [], []
    for path, below in paths:
        try:
            found.append(_Found(path=path, below=below, header=_header(path)))
        except ImageError as error:
            refusals.append(Refusal(source=path, reason=str(error)))
    return found, refusals


def _header(path: Path) -> Header:
    if not path.is_file():
        raise ImageError("not a regular file")
    return read_header(path)


def _single_file_output(naming: Naming, paths: list[tuple[Path, Path]]) -> Path | None:
    """The output, where it is the name of one file and not of a folder."""
    output = naming.output
    if output is None or output.is_dir() or output.suffix.lower() not in PICTURE_SUFFIXES:
        return None
    if len(paths) > 1:
        raise SettingsError(
            f"{len(paths)} inputs cannot become the one file {output}", hint="name a folder by -o"
        )
    return output


def _job(
    item: _Found, naming: Naming, single: Path | None, options: UpscaleOptions, model_scale: int
) -> Job:
    wanted = naming.format or (single and _format_of_suffix(single.suffix)) or item.header.format
    notes = []
    if not FORMATS[wanted].writable:
        notes.append(f"{wanted} is written as PNG")
        wanted = "PNG"
    if item.header.has_alpha and not FORMATS[wanted].alpha:
        notes.append(f"{wanted} has no transparency: written as PNG")
        wanted = "PNG"
    if single is not None:
        return Job(source=item.path, target=single, format=wanted, notes=tuple(notes))
    suffix = _suffix_for(item.path, wanted)
    folder = item.path.parent if naming.output is None else naming.output / item.below.parent
    stem = item.path.stem + _mark(item, folder, naming, options, model_scale)
    return Job(
        source=item.path, target=folder / f"{stem}{suffix}", format=wanted, notes=tuple(notes)
    )


def _mark(
    item: _Found, folder: Path, naming: Naming, options: UpscaleOptions, model_scale: int
) -> str:
    """What is put behind the name: ``_x4`` where the output would lie beside its source."""
    if naming.suffix is not None:
        return naming.suffix
    if folder.resolve() != item.path.parent.resolve():
        return ""
    if options.size is not None:
        width, height = target_size(item.header.width, item.header.height, options, model_scale)
        return f"_{width}x{height}"
    scale = model_scale if options.scale is None else options.scale
    return f"_x{scale:g}"


def _without_clashes(jobs: list[Job], found: list[_Found], naming: Naming) -> list[Job]:
    """Where several inputs meet one output name, all of them keep their source's extension."""
    count = Counter(job.target for job in jobs)
    renamed = []
    for job, item in zip(jobs, found, strict=True):
        if count[job.target] > 1:
            stem = job.target.stem.removesuffix(naming.suffix or "")
            name = f"{stem}{item.path.suffix}{naming.suffix or ''}{job.target.suffix}"
            job = replace(job, target=job.target.with_name(name))
        renamed.append(job)
    return renamed


def _refuse(
    item: _Found, job: Job, naming: Naming, options: UpscaleOptions, model_scale: int
) -> Refusal | None:
    reason, exists = None, False
    width, height = target_size(item.header.width, item.header.height, options, model_scale)
    try:
        check_holds(job.format, width, height)
    except HFDiffError as error:
        reason = str(error)
    if job.target.exists():
        if job.target.samefile(item.path):
            reason = "the output would replace its source"
        elif job.target.is_dir():
            reason = f"the output {job.target} is a folder"
        elif not naming.overwrite and reason is None:
            reason, exists = f"{job.target} exists", True
    if reason is None:
        return None
    return Refusal(source=item.path, reason=reason, target=job.target, exists=exists)


def _format_of_suffix(suffix: str) -> str | None:
    lower = suffix.lower()
    return next((key for key, kind in FORMATS.items() if lower in kind.suffixes), None)


def _suffix_for(source: Path, wanted: str) -> str:
    """The source's own ending where it fits the format (``.JPG`` stays), else the usual one."""
    if source.suffix.lower() in FORMATS[wanted].suffixes:
        return source.suffix
    return FORMATS[wanted].suffixes[0]
