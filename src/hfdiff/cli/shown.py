"""Text on a terminal: names are data and may hold anything, a line stays a line."""

import sys

_JOINER = "\N{ZERO WIDTH JOINER}"  # inside emoji


def shown(text: object) -> str:
    """Text with everything escaped that does not print: line ends, controls, undecodable bytes.

    What the encoding of standard output lacks is escaped as well.
    """
    printable = "".join(
        letter if letter.isprintable() or letter == _JOINER else _escaped(letter)
        for letter in str(text)
    )
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return printable.encode(encoding, "backslashreplace").decode(encoding)


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
