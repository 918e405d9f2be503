"""From inputs to outputs, before anything is computed: names, clashes, formats and their limits.

No torch here: a folder of ten thousand pictures is planned by headers alone.
"""

import glob
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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
    """Everything that will be done, and what will not.

    Of files in folders, ``ignored`` are no pictures by name, ``earlier`` outputs of earlier runs.
    """

    jobs: tuple[Job, ...]
    refusals: tuple[Refusal, ...]
    ignored: int
    earlier: int


@dataclass(frozen=True, kw_only=True)
class _Input:
    """An input file, its path below the folder that was named, and that folder (None: itself).

    ``place`` is the path without ``..`` and links to folders: the same however it was typed.
    """

    path: Path
    below: Path
    place: Path
    folder: Path | None = None


@dataclass(kw_only=True)
class _Search:
    """What was found behind the inputs so far."""

    files: dict[Path, _Input] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    ignored: int = 0


@dataclass(frozen=True, kw_only=True)
class _Found:
    """An input that is a picture, and the (width, height) of its output."""

    path: Path
    below: Path
    header: Header
    size: tuple[int, int]


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
    search = _expand(inputs, naming)
    files = _without_earlier_outputs(search.files, naming)
    taken = {os.path.realpath(item.place): item.path for item in files}
    found, refusals = _read_headers(files, options, model_scale)
    refusals += search.refusals
    single = _single_file_output(naming, files)
    jobs = [_job(item, naming, single, options, model_scale) for item in found]
    jobs = _without_clashes(jobs, naming) if single is None else jobs
    count = Counter(job.target for job in jobs)
    kept = []
    for item, job in zip(found, jobs, strict=True):
        refusal = _refuse(item, job, naming, taken)
        if count[job.target] > 1:
            reason = f"{count[job.target]} inputs would become {job.target}"
            refusal = Refusal(source=item.path, reason=reason, target=job.target)
        if refusal is None:
            kept.append(job)
        else:
            refusals.append(refusal)
    earlier = len(search.files) - len(files)
    return Plan(jobs=tuple(kept), refusals=tuple(refusals), ignored=search.ignored, earlier=earlier)


def _expand(inputs: Iterable[str], naming: Naming) -> _Search:
    """All input files, none twice (a link is a file of its own); named once, it counts as named."""
    search = _Search()
    for text in inputs:
        for path in _matches(text):
            if path.is_dir():
                _enter(path, naming, search)
            else:
                place = path.parent.resolve() / path.name
                item = search.files.get(
                    place, _Input(path=path, below=Path(path.name), place=place)
                )
                search.files[place] = replace(item, folder=None)
    return search


def _enter(folder: Path, naming: Naming, search: _Search) -> None:
    """Add the pictures of a folder."""
    home = folder.resolve()
    for file in _walk(folder, naming, search.refusals):
        below = file.relative_to(folder)  # without links to folders, which are not followed
        if file.suffix.lower() in PICTURE_SUFFIXES:
            item = _Input(path=file, below=below, place=home / below, folder=folder)
            search.files.setdefault(item.place, item)
        else:
            search.ignored += 1


def _without_earlier_outputs(files: Mapping[Path, _Input], naming: Naming) -> list[_Input]:
    """In order of paths. Only what was met in a folder is passed over; what is named is wanted."""
    sources = {*files, *(place.with_suffix("") for place in files)}
    kept = [
        item
        for place, item in files.items()
        if item.folder is None
        or not _is_beside(item, _folder_for(item, naming))
        or not is_earlier_output(place, sources, suffix=naming.suffix)
    ]
    return sorted(kept, key=lambda item: item.path)


def _matches(text: str) -> list[Path]:
    path = Path(text)
    if not text:
        raise SettingsError("an input has no name", hint="is a variable of the shell empty?")
    if _exists(path):
        return [path]
    found = glob.glob(text, recursive=True)  # noqa: PTH207  (Path.glob takes no absolute pattern)
    if not found:
        raise SettingsError(f"input {text} does not exist")
    return [Path(match) for match in sorted(found)]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for the file system, a folder that may not be entered
        return False


def _walk(folder: Path, naming: Naming, refusals: list[Refusal]) -> Iterator[Path]:
    """Visible files of a folder; links to folders are not followed, the output is not entered."""

    def refuse(error: OSError) -> None:
        reason = f"cannot be entered: {error.strerror}"
        refusals.append(Refusal(source=Path(error.filename), reason=reason))

    output = naming.output.resolve() if naming.output is not None else None
    for root, folders, files in os.walk(folder, onerror=refuse):
        here = Path(root)
        folders[:] = sorted(
            name
            for name in folders
            if naming.recursive
            and not name.startswith(".")
            and (output is None or (here / name).resolve() != output)
        )
        yield from (here / name for name in sorted(files) if not name.startswith("."))


def _read_headers(
    inputs: list[_Input], options: UpscaleOptions, model_scale: int
) -> tuple[list[_Found], list[Refusal]]:
    found, refusals = [], []
    for item in inputs:
        try:
            header = _header(item)
            size = target_size(header.width, header.height, options, model_scale)
            found.append(_Found(path=item.path, below=item.below, header=header, size=size))
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
    wanted, notes = choose_format(item.header, naming, single)
    if single is not None:
        target = fitting_name(single, wanted, naming)
    else:
        folder = _folder_for(item, naming)
        stem = item.path.stem + _mark(item, folder, naming, options, model_scale)
        target = folder / f"{stem}{_suffix_for(item.path, wanted)}"
    return Job(source=item.path, target=target, format=wanted, notes=notes)


def choose_format(
    header: Header, naming: Naming, single: Path | None = None
) -> tuple[str, tuple[str, ...]]:
    """An output's format, and notes on what cannot be as asked; ``single`` is its name if given."""
    named = format_named(single.suffix) if single is not None and naming.format is None else None
    wanted = naming.format or named or header.format
    notes = []
    if not FORMATS[wanted].writable:
        notes.append(f"{wanted} is written as PNG")
        wanted = "PNG"
    if header.has_alpha and not FORMATS[wanted].alpha:
        notes.append(f"{wanted} has no transparency: written as PNG")
        wanted = "PNG"
    if header.is_deep and wanted not in DEEP_FORMATS:
        notes.append(f"{wanted} holds 8 bits a sample: 16 were rounded")
    return wanted, tuple(notes)


def fitting_name(single: Path, wanted: str, naming: Naming) -> Path:
    """The file that was named, with another ending where its own would belie the format."""
    fits = single.suffix.lower() in FORMATS[wanted].suffixes or naming.format is not None
    return single if fits else single.with_suffix(FORMATS[wanted].suffixes[0])


def _folder_for(item: _Input | _Found, naming: Naming) -> Path:
    return item.path.parent if naming.output is None else naming.output / item.below.parent


def _is_beside(item: _Input | _Found, folder: Path) -> bool:
    """Whether outputs in a folder lie beside their source."""
    return _exists(folder) and folder.samefile(item.path.parent)


def _mark(
    item: _Found, folder: Path, naming: Naming, options: UpscaleOptions, model_scale: int
) -> str:
    """What is put behind the name: ``_x4`` where the output would lie beside its source."""
    if naming.suffix is not None:
        return naming.suffix
    if not _is_beside(item, folder):
        return ""
    if options.size is not None:
        return "_{}x{}".format(*item.size)
    scale = model_scale if options.scale is None else options.scale
    return f"_x{scale:g}"


_MARKED = re.compile(r"(.+)_(?:x\d+(?:\.\d+)?|\d+x\d+)(\.[^.]+)?", re.DOTALL)


def is_earlier_output(path: Path, sources: Collection[Path], *, suffix: str | None = None) -> bool:
    """Whether a name is one that `_mark` and `_with_source_suffix` give, and its source is there.

    ``a_x4.png``, ``a_x2.5.png`` and ``a_60x45.png`` come from ``a.*``; ``a_x4.jpg.png``, which
    avoided a clash, from ``a.jpg``; and so with this run's suffix in place of the mark. Sources are
    paths both with their endings and without.
    """
    marked = _MARKED.fullmatch(path.stem)
    if marked and path.with_name(marked[1] + (marked[2] or "")) in sources:
        return True
    stem = path.stem.removesuffix(suffix or "")
    return stem not in ("", path.stem) and path.with_name(stem) in sources


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


def _refuse(item: _Found, job: Job, naming: Naming, taken: Mapping[str, Path]) -> Refusal | None:
    """Why a job cannot be done, if so; ``taken`` has the inputs by their real paths."""
    reason, exists = None, False
    try:
        check_growth((item.header.width, item.header.height), item.size)
        check_holds(job.format, *item.size)
        is_there = job.target.exists()
    except HFDiffError as error:
        reason, is_there = str(error), _exists(job.target)
    except OSError as error:
        reason, is_there = f"cannot write {job.target}: {error.strerror}", False
    if is_there:
        if job.target.samefile(item.path):
            reason = "the output would replace its source"
        elif (other := taken.get(os.path.realpath(job.target))) is not None:
            reason = f"the output would replace the input {other}"
        elif job.target.is_dir():
            reason = f"the output {job.target} is a folder"
        elif not naming.overwrite and reason is None:
            reason, exists = f"{job.target} exists", True
    if reason is None:
        return None
    return Refusal(source=item.path, reason=reason, target=job.target, exists=exists)


def _suffix_for(source: Path, wanted: str) -> str:
    """The source's own ending where it fits the format (``.JPG`` stays), else the usual one."""
    usual = FORMATS[wanted].suffixes
    return source.suffix if source.suffix.lower() in usual else usual[0]
