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
from hfdiff.imaging.deep import DEEP_FORMATS
from hfdiff.imaging.files import (
    FORMATS,
    PICTURE_SUFFIXES,
    Header,
    check_holds,
    format_named,
    read_header,
)
from hfdiff.upscaling.options import UpscaleOptions, check_growth, target_size


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
class _Input:
    """An input file, its path below the folder that was named, and that folder (None: itself)."""

    path: Path
    below: Path
    folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class _Found:
    """An input that is a picture."""

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
    files, ignored = _expand(list(inputs), naming)
    files, earlier = _without_earlier_outputs(files, naming, options, model_scale)
    ignored += earlier
    found, refusals = _read_headers(files)
    single = _single_file_output(naming, files)
    jobs = [_job(item, naming, single, options, model_scale) for item in found]
    jobs = _without_clashes(jobs, naming) if single is None else jobs
    count = Counter(job.target for job in jobs)
    kept = []
    for item, job in zip(found, jobs, strict=True):
        refusal = _refuse(item, job, naming, options, model_scale)
        if count[job.target] > 1:
            reason = f"{count[job.target]} inputs would become {job.target}"
            refusal = Refusal(source=item.path, reason=reason, target=job.target)
        if refusal is None:
            kept.append(job)
        else:
            refusals.append(refusal)
    return Plan(jobs=tuple(kept), refusals=tuple(refusals), ignored=ignored)


def _expand(inputs: list[str], naming: Naming) -> tuple[list[_Input], int]:
    """All input files, in one order, none twice."""
    found: dict[Path, _Input] = {}
    ignored = 0
    for text in inputs:
        for path in _matches(text):
            if path.is_dir():
                for file in _walk(path, naming):
                    if file.suffix.lower() in PICTURE_SUFFIXES:
                        item = _Input(path=file, below=file.relative_to(path), folder=path)
                        found.setdefault(file.absolute(), item)
                    else:
                        ignored += 1
            else:
                found.setdefault(path.absolute(), _Input(path=path, below=Path(path.name)))
    return sorted(found.values(), key=lambda item: item.path), ignored


def _without_earlier_outputs(
    files: list[_Input], naming: Naming, options: UpscaleOptions, model_scale: int
) -> tuple[list[_Input], int]:
    """Pass over what an earlier run wrote beside its sources: ``a_x4.png`` where ``a.*`` is there.

    Only files that were met in a folder; what is named itself is wanted.
    """
    scale = model_scale if options.scale is None else options.scale
    mark = f"_x{scale:g}" if naming.suffix is None else naming.suffix
    if naming.output is not None or not mark:
        return files, 0
    stems = {item.path.with_suffix("") for item in files}
    kept = [
        item
        for item in files
        if item.folder is None
        or not item.path.stem.endswith(mark)
        or item.path.with_name(item.path.stem.removesuffix(mark)) not in stems
    ]
    return kept, len(files) - len(kept)


def _matches(text: str) -> list[Path]:
    path = Path(text)
    if not text:
        raise SettingsError("an input has no name", hint="is a variable of the shell empty?")
    if _exists(path):
        return [path]
    found = glob.glob(text, recursive=True)  # noqa: PTH207  (Path.glob takes no absolute pattern)
    matches = [Path(match) for match in sorted(found)]
    if not matches:
        raise SettingsError(f"input {text} does not exist")
    return matches


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for the file system, a folder that may not be entered
        return False


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


def _read_headers(inputs: list[_Input]) -> tuple[list[_Found], list[Refusal]]:
    found, refusals = [], []
    for item in inputs:
        try:
            found.append(_Found(path=item.path, below=item.below, header=_header(item)))
        except ImageError as error:
            refusals.append(Refusal(source=item.path, reason=str(error)))
    return found, refusals


def _header(item: _Input) -> Header:
    if not item.path.is_file():
        raise ImageError("not a regular file")
    if _leads_out(item):
        raise ImageError(f"a link out of {item.folder}")
    return read_header(item.path)


def _leads_out(item: _Input) -> bool:
    """Whether a file that was met in a folder is a link to somewhere else; named links may be."""
    if item.folder is None or not item.path.is_symlink():
        return False
    return not item.path.resolve().is_relative_to(item.folder.resolve())


def _single_file_output(naming: Naming, inputs: list[_Input]) -> Path | None:
    """The output, where it is the name of one file and not of a folder."""
    output = naming.output
    if output is None or output.is_dir() or output.suffix.lower() not in PICTURE_SUFFIXES:
        return None
    if naming.format is None:
        format_named(output.suffix)
    if len(inputs) > 1:
        raise SettingsError(
            f"{len(inputs)} inputs cannot become the one file {output}", hint="name a folder by -o"
        )
    return output


def _job(
    item: _Found, naming: Naming, single: Path | None, options: UpscaleOptions, model_scale: int
) -> Job:
    named = format_named(single.suffix) if single is not None and naming.format is None else None
    wanted = naming.format or named or item.header.format
    notes = []
    if not FORMATS[wanted].writable:
        notes.append(f"{wanted} is written as PNG")
        wanted = "PNG"
    if item.header.has_alpha and not FORMATS[wanted].alpha:
        notes.append(f"{wanted} has no transparency: written as PNG")
        wanted = "PNG"
    if item.header.is_deep and wanted not in DEEP_FORMATS:
        notes.append(f"{wanted} holds 8 bits a sample: 16 were rounded")
    if single is not None:
        fits = single.suffix.lower() in FORMATS[wanted].suffixes or naming.format is not None
        target = single if fits else single.with_suffix(FORMATS[wanted].suffixes[0])
        return Job(source=item.path, target=target, format=wanted, notes=tuple(notes))
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
    if not (_exists(folder) and folder.samefile(item.path.parent)):
        return ""
    if options.size is not None:
        width, height = target_size(item.header.width, item.header.height, options, model_scale)
        return f"_{width}x{height}"
    scale = model_scale if options.scale is None else options.scale
    return f"_x{scale:g}"


def _without_clashes(jobs: list[Job], naming: Naming) -> list[Job]:
    """Where several inputs meet one output name, all of them keep their source's extension.

    A longer name may meet a further one, so this goes on until nothing changes; what still meets
    then (files of one name in two folders that were named) is the caller's to refuse.
    """
    longer = [_with_source_suffix(job, naming) for job in jobs]
    while True:
        count = Counter(job.target for job in jobs)
        changed = [
            long if count[job.target] > 1 else job for job, long in zip(jobs, longer, strict=True)
        ]
        if changed == jobs:
            return jobs
        jobs = changed


def _with_source_suffix(job: Job, naming: Naming) -> Job:
    stem = job.target.stem.removesuffix(naming.suffix or "")
    name = f"{stem}{job.source.suffix}{naming.suffix or ''}{job.target.suffix}"
    return replace(job, target=job.target.with_name(name))


def _refuse(
    item: _Found, job: Job, naming: Naming, options: UpscaleOptions, model_scale: int
) -> Refusal | None:
    reason, exists = None, False
    try:
        width, height = target_size(item.header.width, item.header.height, options, model_scale)
        check_growth((item.header.width, item.header.height), (width, height))
        check_holds(job.format, width, height)
        is_there = job.target.exists()
    except HFDiffError as error:
        reason, is_there = str(error), _exists(job.target)
    except OSError as error:
        reason, is_there = f"cannot write {job.target}: {error.strerror}", False
    if is_there:
        if job.target.samefile(item.path):
            reason = "the output would replace its source"
        elif job.target.is_dir():
            reason = f"the output {job.target} is a folder"
        elif not naming.overwrite and reason is None:
            reason, exists = f"{job.target} exists", True
    if reason is None:
        return None
    return Refusal(source=item.path, reason=reason, target=job.target, exists=exists)


def _suffix_for(source: Path, wanted: str) -> str:
    """The source's own ending where it fits the format (``.JPG`` stays), else the usual one."""
    if source.suffix.lower() in FORMATS[wanted].suffixes:
        return source.suffix
    return FORMATS[wanted].suffixes[0]
