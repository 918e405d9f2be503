"""Classes of pictures, for pretraining the extractor: folders, a table, kinds of degradation."""

import csv
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hfdiff.core.errors import SettingsError, some_of
from hfdiff.core.rng import derive
from hfdiff.data.pictures import list_pictures
from hfdiff.degradation.decisions import Blur, Decisions, Jpeg, Noise, Resize, Step
from hfdiff.degradation.kernels import GaussianKernel

FILE, ORIGINAL = "file", "original"  # columns of a table
KINDS = ("none", "blur", "noise", "jpeg", "resize")
_KERNEL = 15  # reaches three deviations of the widest blur


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """What the classes are.

    Attributes:
        by: ``folders``: the folder below the root that a picture lies in, as in ImageNet, or its
            entry in ``table``; ``degradations``: which of `KINDS` was done to the patch, for
            pictures without classes; ``both``: every pair of the two.
        table: CSV file with the columns ``file`` (relative to it) and ``column``; where it has a
            column ``original``, pictures of one original may not be in training and validation
            both. "" for none.
        column: Of the table, with the class of each picture.
        held_out: Share of every class's originals that is validated on and not trained on, where
            ``data.validation`` names nothing; at least one of a class that has two.
        balanced: Show every class of pictures equally often; off, every picture (Algorithm 2).
        crop: ``plain`` cuts patches at the picture's own scale, mirrored and turned; ``resized``
            is the random resized crop and mirroring that classifiers are trained with.
    """

    by: Literal["folders", "degradations", "both"] = "folders"
    table: str = ""
    column: str = "source"
    held_out: float = 0.0
    balanced: bool = False
    crop: Literal["plain", "resized"] = "plain"

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise SettingsError(f"labels.held_out must lie in [0, 1), got {self.held_out}")
        if self.crop == "resized" and self.by != "folders":
            raise SettingsError("labels.crop resized would undo what labels.by degradations tells")


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The classes of a run: every source with every kind.

    Attributes:
        sources: Classes of pictures; one, without a name, where they do not count.
        kinds: Classes of degradations, likewise.
    """

    sources: tuple[str, ...]
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.sources) * len(self.kinds)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all classes, by number."""
        pairs = [(source, kind) for source in self.sources for kind in self.kinds]
        return tuple("/".join(filter(None, pair)) for pair in pairs)

    def number(self, source: int, kind: int) -> int:
        """Number of a class."""
        return source * len(self.kinds) + kind


@dataclass(frozen=True, kw_only=True)
class LabelBook:
    """Which class of pictures each picture is in, and which original it is of.

    Attributes:
        sources: Of each picture; "" where pictures have no classes.
        originals: Of each picture; itself where no table tells.
    """

    sources: Mapping[Path, str]
    originals: Mapping[Path, str]


def read_labels(roots: Sequence[str | Path], settings: LabelSettings) -> LabelBook:
    """Classes of all pictures of these roots.

    Raises:
        SettingsError: when roots hold nothing, or the table cannot be used or lacks pictures.
    """
    folders: dict[Path, str] = {}
    for root in map(Path, roots):
        for path in list_pictures([root]):
            folders.setdefault(path, _folder_class(path, root))
    originals = {path: str(path) for path in folders}
    if settings.table:
        rows = _read_table(Path(settings.table), settings.column)
        lost = [str(path) for path in folders if _absolute(path) not in rows]
        if lost:
            raise SettingsError(f"labels.table {settings.table} lacks {some_of(lost, 3)}")
        found = {path: rows[_absolute(path)] for path in folders}
        folders = {path: source for path, (source, _) in found.items()}
        originals = {path: original for path, (_, original) in found.items()}
    if settings.by == "degradations":
        folders = dict.fromkeys(folders, "")
    return LabelBook(sources=folders, originals=originals)


def classes_of(book: LabelBook, settings: LabelSettings) -> Classes:
    """The classes that a book and the kinds of degradation make.

    Raises:
        SettingsError: when there are less than two.
    """
    sources = tuple(sorted(set(book.sources.values())))
    kinds = ("",) if settings.by == "folders" else KINDS
    if len(sources) * len(kinds) < 2:
        raise SettingsError(
            f"labels: all pictures are of one class, {sources[0]}",
            hint="put each class into a folder of its own, or use labels.by=degradations",
        )
    return Classes(sources=sources, kinds=kinds)


def held_out(book: LabelBook, share: float) -> tuple[LabelBook, LabelBook]:
    """A book without, and with nothing but, a share of every class's originals.

    Which ones follows from their names, not from what else is there. An original with pictures of
    several classes is of the first.
    """
    originals: dict[str, set[str]] = defaultdict(set)
    taken: set[str] = set()
    for path, source in book.sources.items():
        original = book.originals[path]
        if original not in taken:
            taken.add(original)
            originals[source].add(original)
    chosen: set[str] = set()
    for found in originals.values():
        count = min(math.ceil(share * len(found)), len(found) - 1)
        chosen |= set(
            sorted(found, key=lambda name: derive(0, "held out", Path(name).name))[:count]
        )
    inside = [path for path in book.sources if book.originals[path] in chosen]
    outside = [path for path in book.sources if book.originals[path] not in chosen]
    return _part(book, outside), _part(book, inside)


def check_validation(training: LabelBook, validation: LabelBook) -> None:
    """Refuse to measure on classes that are not trained, or on pictures that are.

    Raises:
        SettingsError: naming them.
    """
    unknown = sorted(set(validation.sources.values()) - set(training.sources.values()))
    if unknown:
        raise SettingsError(
            f"data.validation holds classes that data.root lacks: {some_of(unknown)}"
        )
    seen = {_absolute(path) for path in training.sources}
    both = [str(path) for path in validation.sources if _absolute(path) in seen]
    of_training = set(training.originals.values())
    both += [name for name in set(validation.originals.values()) if name in of_training]
    if both:
        raise SettingsError(
            f"data.validation must hold pictures that are not trained on, but {some_of(both, 3)} "
            "are in both",
        )


def degradation_of(kind: str, rng: np.random.Generator) -> Decisions:
    """A degradation of one of `KINDS`, plain to see and not extreme, at the picture's own size."""
    steps: list[Step] = []
    match kind:
        case "blur":
            sigma = rng.uniform(1.0, 2.4)
            steps = [Blur(kernel=GaussianKernel(shape="iso", size=_KERNEL, sigma_x=sigma))]
        case "noise":
            gray, seed = bool(rng.random() < 0.4), int(rng.integers(2**63))
            level = rng.uniform(5.0, 25.0)
            steps = [Noise(law="gaussian", level=level, gray=gray, seed=seed)]
        case "jpeg":
            steps = [Jpeg(quality=rng.uniform(15.0, 60.0), exact_tables=True)]
        case "resize":
            factor = rng.uniform(0.3, 0.7)
            steps = [
                Resize(mode="area", factor=factor, of="current"),
                Resize(mode="bicubic", factor=1.0, of="lq"),
            ]
    return Decisions(scale=1, steps=tuple(steps))


def _part(book: LabelBook, paths: list[Path]) -> LabelBook:
    return LabelBook(
        sources={path: book.sources[path] for path in paths},
        originals={path: book.originals[path] for path in paths},
    )


def _folder_class(path: Path, root: Path) -> str:
    """The folder below the root; for a picture of a list, or in the root itself, its own folder."""
    if root.is_dir():
        below = path.relative_to(root).parts
        return below[0] if len(below) > 1 else root.resolve().name
    return path.resolve().parent.name


def _read_table(path: Path, column: str) -> dict[str, tuple[str, str]]:
    """Class and original of each file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = {FILE, column} - set(reader.fieldnames or ())
            if missing:
                raise SettingsError(f"labels.table {path} lacks the columns {sorted(missing)}")
            found = {}
            for row in reader:
                file = _absolute(path.parent / row[FILE])
                found[file] = (row[column] or "", row.get(ORIGINAL) or file)
            return found
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"labels.table {path} cannot be read: {error}") from error


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100  (links stay as named, and a million is no wait)
