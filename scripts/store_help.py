"""Store what every command says of itself: docs/cli/COMMAND.txt, compared by a test.

Usage: python scripts/store_help.py
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from typer.testing import CliRunner

from hfdiff.cli.main import app

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "cli"
_SCREEN = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}


def commands() -> list[tuple[str, ...]]:
    """Every command with its parents: (), ("upscale",), ("weights", "get")."""
    return sorted(_below((), typer.main.get_command(app)))


def _below(path: tuple[str, ...], command: Any) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from _below((*path, name), inner)


def help_of(command: tuple[str, ...]) -> str:
    """What ``hfdiff COMMAND --help`` prints on a screen of 80 columns."""
    done = CliRunner().invoke(app, [*command, "--help"], env=_SCREEN, prog_name="hfdiff")
    if done.exit_code:
        raise SystemExit(f"hfdiff {' '.join(command)} --help failed: {done.output}")
    return "\n".join(line.rstrip() for line in done.output.splitlines()) + "\n"


def file_of(command: tuple[str, ...]) -> Path:
    """Where a command's help is stored."""
    return FOLDER / ("-".join(command or ("hfdiff",)) + ".txt")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    texts = {file_of(command): help_of(command) for command in commands()}
    for stale in set(FOLDER.glob("*.txt")) - texts.keys():
        stale.unlink()
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(texts)} files in {FOLDER}\n")
