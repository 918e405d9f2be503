"""Help: stored and compared, quick, and without anything heavy behind it."""

import importlib.util
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

HFDIFF = Path(sys.executable).with_name("hfdiff")


def _store_help():
    path = ROOT / "scripts" / "store_help.py"
    spec = importlib.util.spec_from_file_location("store_help", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STORE = _store_help()
COMMANDS = STORE.commands()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c) or "hfdiff")
def test_help_is_as_stored(command):
    """After a change of options: python scripts/store_help.py, and read the difference."""
    path = STORE.file_of(command)

    assert path.is_file(), "run python scripts/store_help.py"
    assert STORE.help_of(command) == path.read_text(encoding="utf-8")


def test_nothing_is_stored_of_commands_that_are_gone():
    stored = set((ROOT / "docs" / "cli").glob("*.txt"))

    assert stored == {STORE.file_of(command) for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c) or "hfdiff")
def test_help_fits_80_columns_and_gives_an_example(command):
    text = STORE.help_of(command)

    assert max(map(len, text.splitlines())) <= 80
    is_group = "COMMAND [ARGS]" in text
    assert is_group or f"Example: hfdiff {' '.join(command)}" in text


HEAVY = ("torch", "numpy", "PIL", "yaml", "safetensors", "huggingface_hub", "accelerate")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c) or "hfdiff")
def test_help_imports_nothing_heavy(command):
    program = (
        "import sys\n"
        "from hfdiff.cli.main import run\n"
        "try:\n    run()\nexcept SystemExit:\n    pass\n"
        f"sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, *command, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout


BARE = """
import typer
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
@app.command()
def one(name: str = "x") -> None:
    "One."
@app.command()
def two(name: str = "x") -> None:
    "Two."
app(["--help"])
"""


def _cost(*command):
    """Processor seconds of a command; not those of other programs on the machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_costs_at_most_half_more_than_a_bare_command_of_typer():
    """Measured in pairs; the median of their ratios."""
    ratios = [_cost(str(HFDIFF), "--help") / _cost(sys.executable, "-c", BARE) for _ in range(7)]

    assert statistics.median(ratios) <= 1.5, ratios
