"""What lies behind the inputs as typed: folders entered, patterns expanded. No torch here."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from hfdiff.core.errors import SettingsError
from hfdiff.imaging.files import PICTURE_SUFFIXES
from hfdiff.upscaling.ledger import recorded_outputs
from hfdiff.upscaling.options import Naming


@dataclass(frozen=True, kw_only=True)
class Input:
    """An input file, its path below the folder that was named, and that folder (None: itself).

    ``place`` is the path without ``..`` and links to folders: the same however it was typed.
    """

    path: Path
    below: Path
    place: Path
    folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An input that will not be computed, and why.

    Attributes:
        source: The input.
        reason: One sentence.
        target: The output, where one was planned.
        exists: Whether it is left alone because its output is there already.
        size: (width, height) of the input, where its header could be read.
        target_size: The same of the output.
    """

    source: Path
    reason: str
    target: Path | None = None
    exists: bool = False
    size: tuple[int, int] = (0, 0)
    target_size: tuple[int, int] = (0, 0)


@dataclass(kw_only=True)
class Search:
    """What was found behind the inputs so far.

    Of folders entered, ``ignored`` are files that are no pictures by name, ``earlier`` outputs of
    runs into folders in them, ``unfollowed`` links to other folders.
    """

    files: dict[Path, Input] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    ignored: int = 0
    earlier: set[Path] = field(default_factory=set)
    unfollowed: set[Path] = field(default_factory=set)


def expand(inputs: Iterable[str], naming: Naming) -> Search:
    """All input files, none twice (a link is a file of its own); named once, it counts as named."""
    search = Search()
    for text in inputs:
        found = _matches(text)
        if not found:
            reason = "nothing matches" if glob.has_magic(text) else "does not exist"
            search.refusals.append(Refusal(source=Path(text), reason=reason))
        for path in found:
            if path.is_dir():
                _enter(path, naming, search)
            else:
                place = path.parent.resolve() / path.name
                item = search.files.get(place, Input(path=path, below=Path(path.name), place=place))
                search.files[place] = replace(item, folder=None)
    search.earlier -= search.files.keys()
    return search


def _enter(folder: Path, naming: Naming, search: Search) -> None:
    """Add the pictures of a folder."""
    home, made = folder.resolve(), dict[Path, set[int]]()
    for file in _walk(folder, naming, search, made):
        below = file.relative_to(folder)  # without links to folders, which are not followed
        if file.suffix.lower() not in PICTURE_SUFFIXES:
            search.ignored += 1
        elif file in made and file.lstat().st_size in made[file]:
            search.earlier.add(home / below)
        else:
            item = Input(path=file, below=below, place=home / below, folder=folder)
            search.files.setdefault(item.place, item)


def _matches(text: str) -> list[Path]:
    """The files and folders that an input means; a name that looks like a pattern is a name."""
    path = Path(text)
    if not text:
        raise SettingsError("an input has no name", hint="is a variable of the shell empty?")
    if exists(path):
        return [path]
    found = glob.glob(text, recursive=True)  # noqa: PTH207  (Path.glob takes no absolute pattern)
    return [Path(match) for match in sorted(found)]


def exists(path: Path) -> bool:
    """Whether something is there; what cannot be looked at is not."""
    try:
        return path.exists()
    except OSError:  # a name too long for the file system, a folder that may not be entered
        return False


def _walk(
    folder: Path, naming: Naming, search: Search, made: dict[Path, set[int]]
) -> Iterator[Path]:
    """Visible files of a folder; links to folders are not followed, the output is not entered.

    ``made`` gets what earlier runs made in the folders that are entered, and how large it was.
    """

    def refuse(error: OSError) -> None:
        reason = f"cannot be entered: {error.strerror}"
        search.refusals.append(Refusal(source=Path(error.filename), reason=reason))

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
        links = (here / name for name in folders if (here / name).is_symlink())
        search.unfollowed |= {link.parent.resolve() / link.name for link in links}
        if here != folder:  # a folder that is named is wanted, whoever made what is in it
            made.update(recorded_outputs(here))
        yield from (here / name for name in sorted(files) if not name.startswith("."))


def leads_out(item: Input) -> bool:
    """Whether a file that was met in a folder is a link to somewhere else; named links may be."""
    if item.folder is None or not item.path.is_symlink():
        return False
    return not item.path.resolve().is_relative_to(item.folder.resolve())
