"""Names and formats of outputs: marks, clashes, and which files are outputs of earlier runs."""

import math
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from hfdiff.core.errors import SettingsError
from hfdiff.imaging.deep import AVIF_BITS, DEEP_FORMATS
from hfdiff.imaging.files import FORMATS, PICTURE_SUFFIXES, Header, format_named
from hfdiff.upscaling.options import Naming, UpscaleOptions, is_kept
from hfdiff.upscaling.search import exists


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture to make.

    Attributes:
        source: Where from.
        target: Where to.
        format: As what: a key of FORMATS.
        notes: On what cannot be as asked.
        size: (width, height) of the input.
        target_size: The same of the output.
        source_format: The format of the input.
        has_alpha: Whether the input has transparency.
        is_deep: Whether its samples have more than 8 bits.
        is_kept: Whether the picture is large enough already and only copied.
    """

    source: Path
    target: Path
    format: str
    notes: tuple[str, ...] = ()
    size: tuple[int, int] = (0, 0)
    target_size: tuple[int, int] = (0, 0)
    source_format: str = ""
    has_alpha: bool = False
    is_deep: bool = False
    is_kept: bool = False


class Placed(Protocol):
    """Something with a path of its own and one below the folder that was named."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def below(self) -> Path:
        """Where it is below the folder that was named; its name if it was named itself."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """An input that is a picture, and the (width, height) of its output."""

    path: Path
    below: Path
    header: Header
    size: tuple[int, int]


def plan_job(
    item: Found, naming: Naming, single: Path | None, options: UpscaleOptions, model_scale: int
) -> Job:
    """Name and format of one output; ``single`` is its name if one file was named."""
    wanted, notes = choose_format(item.header, naming, single)
    if single is not None:
        target = fitting_name(single, wanted)
    else:
        folder = folder_for(item, naming)
        stem = item.path.stem + mark(item, folder, naming, options, model_scale)
        target = folder / f"{stem}{suffix_for(item.path, wanted)}"
    header = item.header
    if item.path.suffix.lower() in PICTURE_SUFFIXES - frozenset(FORMATS[header.format].suffixes):
        notes = (f"{header.format} by its content", *notes)
    return Job(
        source=item.path,
        target=target,
        format=wanted,
        notes=notes,
        size=(header.width, header.height),
        target_size=item.size,
        source_format=header.format,
        has_alpha=header.has_alpha,
        is_deep=header.is_deep,
        is_kept=is_kept(header.width, header.height, options, model_scale),
    )


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
        notes.append(f"{wanted} holds 8 bits a sample: {header.bits} were rounded")
    if header.bits > AVIF_BITS and wanted == "AVIF":
        notes.append(f"AVIF holds {AVIF_BITS} bits a sample: {header.bits} were rounded")
    return wanted, tuple(notes)


def check_ending(single: Path, naming: Naming) -> None:
    """Refuse the name of an output whose ending tells no format, or another than was asked for.

    Raises:
        SettingsError: then.
    """
    if naming.format is None:
        format_named(single.suffix)
    elif single != fitting_name(single, naming.format):
        raise SettingsError(
            f"the name {single} does not say {naming.format}, which was asked for",
            hint=f"end it in {FORMATS[naming.format].suffixes[0]}, or leave --format out",
        )


def fitting_name(single: Path, wanted: str) -> Path:
    """The file that was named, with another ending where its own would belie the format."""
    belies = PICTURE_SUFFIXES - frozenset(FORMATS[wanted].suffixes)
    wrong = single.suffix.lower() in belies
    return single.with_suffix(FORMATS[wanted].suffixes[0]) if wrong else single


def folder_for(item: Placed, naming: Naming) -> Path:
    """The folder that an output goes to: the mirrored one, or the source's own."""
    return item.path.parent if naming.output is None else naming.output / item.below.parent


def is_beside(item: Placed, folder: Path) -> bool:
    """Whether outputs in a folder lie beside their source."""
    return exists(folder) and folder.samefile(item.path.parent)


def mark(
    item: Found, folder: Path, naming: Naming, options: UpscaleOptions, model_scale: int
) -> str:
    """What is put behind the name: ``_x4`` where the output would lie beside its source."""
    if naming.suffix is not None:
        return naming.suffix
    if not is_beside(item, folder):
        return ""
    if (options.size, options.min_size, options.max_size) != (None, None, None):
        return "_{}x{}".format(*item.size)
    scale = model_scale if options.scale is None else options.scale
    return f"_x{scale:g}"


_MARKED = re.compile(r"(.+)_(x\d+(?:\.\d+)?|\d+x\d+)(\.[^.]+)?", re.DOTALL)


def unmarked_name(path: Path) -> tuple[Path, str] | None:
    """The path without the mark of an output, with its ending if that is told, and the mark."""
    marked = _MARKED.fullmatch(path.stem)
    return None if marked is None else (path.with_name(marked[1] + (marked[3] or "")), marked[2])


def marked_size(said: str, width: int, height: int) -> tuple[int, int]:
    """(width, height) of an output with the mark ``x2.5`` or ``60x45`` of a source."""
    first, second = said.split("x")
    if first:
        return int(first), int(second)
    scale = float(second)
    return math.floor(width * scale + 0.5), math.floor(height * scale + 0.5)


def is_earlier_output(path: Path, sources: Collection[Path], *, suffix: str | None = None) -> bool:
    """Whether a name is one that `mark` and `_with_source_suffix` give, and its source is there.

    ``a_x4.png``, ``a_x2.5.png`` and ``a_60x45.png`` come from ``a.*``; ``a_x4.jpg.png``, which
    avoided a clash, from ``a.jpg``; and so with this run's suffix in place of the mark. Sources are
    paths both with their endings and without.
    """
    unmarked = unmarked_name(path)
    if unmarked is not None and unmarked[0] in sources:
        return True
    stem = path.stem.removesuffix(suffix or "")
    return stem not in ("", path.stem) and path.with_name(stem) in sources


def suffix_for(source: Path, wanted: str) -> str:
    """The source's own ending where it fits the format (``.JPG`` stays), else the usual one."""
    usual = FORMATS[wanted].suffixes
    return source.suffix if source.suffix.lower() in usual else usual[0]


def without_clashes(jobs: list[Job], naming: Naming) -> list[Job]:
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
