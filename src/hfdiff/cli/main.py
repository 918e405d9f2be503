"""The ``hfdiff`` command: registers the commands, turns errors into one line and an exit code.

Nothing heavy is imported here or at the top of any command's file: ``--help`` loads no torch, and
costs little more than `import typer`.
"""

import atexit
import gc
import itertools
import logging
import os
import sys
import warnings
from typing import Annotated, Any, NoReturn

import typer

from hfdiff.cli import (
    convert,
    curves,
    degrade,
    evaluate,
    features,
    info,
    models,
    train,
    tune,
    upscale,
    weights,
)
from hfdiff.core.errors import CheckpointError, HFDiffError, SettingsError

WRONG_USE, MODEL_NOT_LOADABLE, FAILED, INTERRUPTED = 2, 3, 1, 130

app = typer.Typer(
    name="hfdiff",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: half the time of a start, and the same in every terminal
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Better photographs with one step of a diffusion model.",
)
app.command()(upscale.upscale)
app.command()(convert.convert)
app.command()(curves.curves)
app.command()(degrade.degrade)
app.command()(evaluate.evaluate)
app.command()(features.features)
app.command()(info.info)
app.command()(models.models)
app.command()(train.train)
app.command()(tune.tune)
app.add_typer(weights.app, name="weights")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hfdiff {version('hfdiff')}")
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[  # noqa: ARG001  (its callback has done it)
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_print_version,
            help="Print the version and stop.",
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Log more, and show tracebacks of errors.")
    ] = False,
) -> None:
    """Better photographs with one step of a diffusion model."""
    if debug:
        os.environ["HFDIFF_DEBUG"] = "1"
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
        logging.getLogger("PIL").setLevel(logging.INFO)


def run() -> NoReturn:
    """Run the command line; errors become one line on stderr and the exit codes of spec 6.8."""
    # Else the interpreter ends by looking through all that torch is made of: up to a second.
    atexit.register(gc.freeze)
    # What Pillow has to say of odd blocks in a file helps nobody, unless asked for.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    try:
        _check_names(sys.argv[1:])
        app()
    except HFDiffError as error:
        if os.environ.get("HFDIFF_DEBUG"):
            raise
        _complain(str(error), error.hint)
        sys.exit(exit_code(error))
    except (OSError, MemoryError) as error:  # of the machine, not of hfdiff
        if os.environ.get("HFDIFF_DEBUG"):
            raise
        _complain(_of_the_machine(error), None)
        sys.exit(FAILED)
    except Exception as error:
        if os.environ.get("HFDIFF_DEBUG"):
            raise
        _complain(f"{type(error).__name__}: {error}", "hfdiff --debug COMMAND ... shows where")
        sys.exit(FAILED)
    sys.exit(0)


def _check_names(words: list[str]) -> None:
    """Refuse files that a pattern of the shell gave and that would be read as options.

    Raises:
        SettingsError: naming the first.
    """
    named = itertools.takewhile(lambda word: word != "--", words)
    for before, word in itertools.pairwise(["", *named]):
        if not word.startswith("-") or word == "-" or not os.path.lexists(word):
            continue
        if before not in _with_values(words):  # else it is what that option is set to
            raise SettingsError(
                f"{word} is the name of a file here, and would be read as options",
                hint=f"write ./{word}, or put -- before the names",
            )


def _with_values(words: list[str]) -> set[str]:
    """The options, of the command that is called, behind which a value stands."""
    group: Any = typer.main.get_command(app)
    commands = [group.commands[word] for word in words if word in group.commands][:1]
    return {
        name
        for command in commands
        for parameter in command.params
        if not getattr(parameter, "is_flag", False)
        for name in parameter.opts
        if name.startswith("-")
    }


def _of_the_machine(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory"
    where = "output" if error.filename is None else error.filename
    return f"{where}: {error.strerror or error}"


def _complain(message: str, hint: str | None) -> None:
    typer.echo("error: " + " ".join(message.splitlines()), err=True)
    if hint:
        typer.echo("hint: " + " ".join(hint.splitlines()), err=True)


def exit_code(error: HFDiffError) -> int:
    """2 for wrong use, 3 for a model that cannot be loaded, 1 for anything else."""
    if isinstance(error, SettingsError):
        return WRONG_USE
    return MODEL_NOT_LOADABLE if isinstance(error, CheckpointError) else FAILED
