"""Which of two folders' pictures belong together, by their names."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from hfdiff.core.errors import SettingsError, some_of

# What data sets and programs hang on a picture's name: _LR4, _HR, x4, -out, _hfdiff ...
_ENDING = re.compile(
    r"([_-](lr|hr|sr|lq|gt|out|output|result|restored|hfdiff)?(x?\d{1,2}|\d{1,2}x)?|(?<=\d)x\d{1,2})$",
    re.IGNORECASE,
)


def match_names(ours: Iterable[str], theirs: Iterable[str], what: str) -> dict[str, str]:
    """For each of our names the one of theirs, as far as there is exactly one.

    The same name wins, then the same without its extension, then without `plain_name`'s endings.

    Args:
        ours: Names from one folder, with / between parts.
        theirs: From the other.
        what: For the message, as in ``gt belongs to which sr``.

    Raises:
        SettingsError: when several could be meant.
    """
    ours, theirs = list(ours), list(theirs)
    matches: dict[str, str] = {}
    for key_of in (_whole_name, _without_extension, plain_name):
        open_ours = _grouped((name for name in ours if name not in matches), key_of)
        taken = set(matches.values())
        open_theirs = _grouped((name for name in theirs if name not in taken), key_of)
        for key in open_ours.keys() & open_theirs.keys():
            names, partners = open_ours[key], open_theirs[key]
            if len(names) == len(partners) == 1:
                matches[names[0]] = partners[0]
            elif key_of is plain_name:
                both = some_of([*names, *partners])
                raise SettingsError(f"it is not clear which {what}: {both}")
    return matches


def plain_name(name: str) -> str:
    """A picture's name without extension and without the endings that programs append.

    ``Canon_003_LR4.png`` and ``Canon_003_HR.png`` are both ``canon_003``.
    """
    folder, _, file = name.rpartition("/")
    stem = _without_extension(file)
    while (shorter := _ENDING.sub("", stem)) not in (stem, ""):
        # A number alone belongs to the name: Canon_003.
        if re.fullmatch(r"[_-]\d+", stem[len(shorter) :]):
            break
        stem = shorter
    return f"{folder}/{stem}".lower()


def _whole_name(name: str) -> str:
    return name


def _without_extension(name: str) -> str:
    return name[: -len(Path(name).suffix)] if Path(name).suffix else name


def _grouped(names: Iterable[str], key_of: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key_of(name), []).append(name)
    return groups
