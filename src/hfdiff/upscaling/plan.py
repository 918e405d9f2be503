"""From inputs to outputs, before anything is computed: names, clashes, formats and their limits.

No torch here: a folder of ten thousand pictures is planned by headers alone.
"""

import errno
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hfdiff.core.errors import HFDiffError, ImageError, SettingsError
from hfdiff.imaging.files import PICTURE_SUFFIXES, Header, check_holds, read_header
from hfdiff.upscaling.names import (
    Found,
    Job,
    check_ending,
    folder_for,
    is_beside,
    is_earlier_output,
    marked_size,
    plan_job,
    unmarked_name,
    without_clashes,
)
from hfdiff.upscaling.options import Naming, UpscaleOptions, check_growth, target_size
from hfdiff.upscaling.reasons import reason_of
from hfdiff.upscaling.search import Input, Refusal, exists, expand, leads_out


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that will be done, and what will not.

    Of files in folders, ``ignored`` are no pictures by name, ``earlier`` outputs of earlier runs;
    ``unfollowed`` are links to folders.
    ``naming`` is what outputs were named by.
    """

    jobs: tuple[Job, ...]
    refusals: tuple[Refusal, ...]
    ignored: int
    earlier: int
    unfollowed: int = 0
    naming: Naming = field(default_factory=Naming)

    def root_of(self, job: Job) -> Path:
        """The folder that a job's output belongs to: the one that was named, or its own."""
        output = self.naming.output
        is_inside = output is not None and output in job.target.parents
        return output if output is not None and is_inside else job.target.parent

    @property
    def is_remembered(self) -> bool:
        """Whether a ledger is kept: not for one picture into a file or beside its source."""
        if self.naming.resume or len(self.jobs) > 1:
            return True
        return any(self.naming.output in job.target.parents for job in self.jobs)


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
        SettingsError: when an input has no name, many inputs meet one output file, or a name for
            an output tells neither a format nor a folder.
    """
    search = expand(inputs, naming)
    files = _without_earlier_outputs(search.files, naming)
    taken = {os.path.realpath(item.place): item.path for item in files}
    found, refusals = _read_headers(files, options, model_scale)
    refusals += search.refusals
    single = _single_file_output(naming, files)
    jobs = [plan_job(item, naming, single, options, model_scale) for item in found]
    jobs = without_clashes(jobs, naming) if single is None else jobs
    count = Counter(job.target for job in jobs)
    kept = []
    for item, job in zip(found, jobs, strict=True):
        refusal = _refuse(item, job, naming, taken)
        if count[job.target] > 1:
            refusal = _refusal(item, job, _meeting(job, count[job.target]))
        if refusal is None:
            kept.append(job)
        else:
            refusals.append(refusal)
    earlier = len(search.earlier) + len(search.files) - len(files)
    return Plan(
        jobs=tuple(kept),
        refusals=tuple(refusals),
        ignored=search.ignored,
        earlier=earlier,
        unfollowed=len(search.unfollowed),
        naming=naming,
    )


def _without_earlier_outputs(files: Mapping[Path, Input], naming: Naming) -> list[Input]:
    """In order of paths. Only what was met in a folder is passed over; what is named is wanted.

    Wherever this run writes: outputs of one that wrote beside its sources are not enlarged again.
    But elsewhere the name alone is not enough, as nothing would be overwritten: the size must fit.
    """
    sources: dict[Path, list[Path]] = {}
    for place in files:
        for name in (place, place.with_suffix("")):
            sources.setdefault(name, []).append(place)

    def is_earlier(place: Path, item: Input) -> bool:
        if is_beside(item, folder_for(item, naming)):
            return is_earlier_output(place, sources, suffix=naming.suffix)
        return is_earlier_output(place, sources) and _has_the_size_it_says(place, sources)

    kept = [
        item for place, item in files.items() if item.folder is None or not is_earlier(place, item)
    ]
    return sorted(kept, key=lambda item: item.path)


def _has_the_size_it_says(place: Path, sources: Mapping[Path, list[Path]]) -> bool:
    """Whether a file with a mark is as large as that says of a source, and larger than that."""
    unmarked, said = unmarked_name(place) or (place, "")
    own = _size_of(place)
    sizes = [_size_of(source) for source in sources.get(unmarked, [])]
    return any(own == marked_size(said, *size) and own > size for size in sizes)


def _size_of(place: Path) -> tuple[int, int]:
    """(width, height), none where that cannot be read."""
    try:
        header = read_header(place)
    except ImageError:
        return 0, 0
    return header.width, header.height


def _read_headers(
    inputs: list[Input], options: UpscaleOptions, model_scale: int
) -> tuple[list[Found], list[Refusal]]:
    found, refusals = [], []
    for item in inputs:
        try:
            header = _header(item)
            size = target_size(header.width, header.height, options, model_scale)
            found.append(Found(path=item.path, below=item.below, header=header, size=size))
        except ImageError as error:
            refusals.append(Refusal(source=item.path, reason=reason_of(error)))
    return found, refusals


def _header(item: Input) -> Header:
    if _leads_nowhere(item.path):
        raise ImageError("a link to nothing")
    if not item.path.is_file():
        raise ImageError("not a regular file")
    if leads_out(item):
        raise ImageError(f"a link out of {item.folder}")
    return read_header(item.path)


def _leads_nowhere(path: Path) -> bool:
    """Whether a path is a link to what is not there, or in a circle."""
    try:
        path.stat()
    except OSError as error:
        return error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink()
    return False


def _single_file_output(naming: Naming, inputs: list[Input]) -> Path | None:
    """The output, where it is the name of one file and not of a folder."""
    output = naming.output
    if output is None or (exists(output) and output.is_dir()):
        return None
    is_picture = output.suffix.lower() in PICTURE_SUFFIXES
    if naming.is_folder or not is_picture:
        if output.suffix and not naming.is_folder and len(inputs) == 1 and not inputs[0].folder:
            raise SettingsError(
                f"the name {output} tells no format",
                hint=f"end it in .png or the like for a file, or write {output}/ for a folder",
            )
        if exists(output):
            raise SettingsError(
                f"the output {output} is a file, not a folder", hint="name another by -o"
            )
        return None
    check_ending(output, naming)
    if len(inputs) > 1:
        raise SettingsError(
            f"{len(inputs)} inputs cannot become the one file {output}", hint="name a folder by -o"
        )
    return output


def _refuse(item: Found, job: Job, naming: Naming, taken: Mapping[str, Path]) -> Refusal | None:
    """Why a job cannot be done, if so; ``taken`` has the inputs by their real paths."""
    reason, is_earlier = None, False
    try:
        check_growth((item.header.width, item.header.height), item.size)
        check_holds(job.format, *item.size)
        is_there = job.target.exists()
    except HFDiffError as error:
        reason, is_there = reason_of(error), exists(job.target)
    except OSError as error:
        reason, is_there = f"cannot write {job.target}: {error.strerror}", False
    if reason is None and (blocked := _file_among(job.target.parents)) is not None:
        reason = f"{blocked} is no folder"
    if is_there:
        if job.target.samefile(item.path):
            reason = "the output would replace its source"
        elif (other := taken.get(os.path.realpath(job.target))) is not None:
            reason = f"the output would replace the input {other}"
        elif not job.target.is_file():
            kind = "a folder" if job.target.is_dir() else "no regular file"
            reason = f"the output {job.target} is {kind}"
        elif not (naming.overwrite or naming.resume) and reason is None:
            reason, is_earlier = f"{job.target} exists", True
    return None if reason is None else _refusal(item, job, reason, exists=is_earlier)


def _file_among(folders: Iterable[Path]) -> Path | None:
    """What should be a folder and is none; folders that are not there can be made."""
    there = (folder for folder in folders if os.path.lexists(folder))
    nearest = next(there, None)
    return nearest if nearest is not None and not nearest.is_dir() else None


def _refusal(item: Found, job: Job, reason: str, *, exists: bool = False) -> Refusal:
    return Refusal(
        source=item.path,
        reason=reason,
        target=job.target,
        exists=exists,
        size=(item.header.width, item.header.height),
        target_size=item.size,
    )


def _meeting(job: Job, count: int) -> str:
    way_out = "name the folder above them as one input, or give each an -o"
    return f"{count} inputs would become {job.target} ({way_out})"
