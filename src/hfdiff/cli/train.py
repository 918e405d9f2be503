"""``hfdiff train``: one of the stages, from a preset, a YAML file and key=value pairs."""

from pathlib import Path
from typing import Annotated, Any

import typer

INTERRUPTED = 130


def train(
    stage: Annotated[str, typer.Argument(help="autoencoder, teacher, extractor or distill.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE...]", help="Settings to change.")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="paper, lite or tiny.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file of settings to change.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", "--auto_resume", help="Go on from the newest checkpoint.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto or cpu.")] = "auto",
    threads: Annotated[int, typer.Option("--threads", help="CPU threads; 0: all.")] = 0,
    print_config: Annotated[
        bool,
        typer.Option(
            "--print-config",
            help="Print the complete settings and stop; of paper, with their sources.",
        ),
    ] = False,
    rehearse: Annotated[
        bool,
        typer.Option(
            "--rehearse", help="Try every part in about two minutes and forecast the run."
        ),
    ] = False,
) -> None:
    """Train a stage of a model.

    Example: hfdiff train teacher --preset tiny start=ae.safetensors data.root=[photos] out=run

    SIGTERM and Ctrl-C let the current step end, save, and say how to go on: exit codes 0 and 130.

    Several processes: torchrun --standalone --nproc_per_node 2 -m hfdiff train ...
    """
    from hfdiff.core.settings import to_yaml
    from hfdiff.training.run import resolve
    from hfdiff.training.run import train as run_stage
    from hfdiff.training.sources import with_sources
    from hfdiff.training.stopping import StoppedError

    settings = resolve(stage, preset, config, overrides or [])
    if print_config:
        if preset == "paper":
            typer.echo(with_sources(stage, settings, resolve(stage, preset, None, [])), nl=False)
        else:
            typer.echo(to_yaml(settings), nl=False)
        return
    log_to_stderr()
    if threads:
        import torch

        torch.set_num_threads(threads)
    if rehearse:
        _rehearse(stage, settings, device)
        return
    try:
        path = run_stage(stage, settings, device=device, resume=resume)
    except StoppedError as stopped:
        if _speaks():
            typer.echo(f"{stopped}\ngo on with: {_resuming()}", err=True)
        raise typer.Exit(exit_code(stopped.signal_number)) from stopped
    if _speaks():
        typer.echo(path)


def _rehearse(stage: str, settings: Any, device: str) -> None:
    from hfdiff.training.rehearse import FOLDER
    from hfdiff.training.rehearse import rehearse as rehearse_stage
    from hfdiff.training.stopping import StoppedError

    try:
        forecast = rehearse_stage(stage, settings, device=device)
    except StoppedError as stopped:
        typer.echo("the rehearsal was stopped", err=True)
        raise typer.Exit(exit_code(stopped.signal_number)) from stopped
    for line in forecast.lines():
        typer.echo(line)
    typer.echo(Path(settings.out) / FOLDER)


def _speaks() -> bool:
    """Whether this is the first of the processes of a run."""
    import os

    return os.environ.get("RANK", "0") == "0"


def exit_code(signal_number: int | None) -> int:
    """Of a training that was asked to stop."""
    import signal

    return INTERRUPTED if signal_number == signal.SIGINT else 0


def _resuming() -> str:
    """The command that was given, with --resume."""
    import shlex
    import sys

    given = [word for word in sys.argv[1:] if word not in ("--resume", "--auto_resume")]
    return shlex.join(["hfdiff", *given, "--resume"])


def log_to_stderr() -> None:
    """Show what a training says of itself."""
    import logging
    import sys

    level = logging.INFO if _speaks() else logging.WARNING
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("PIL").setLevel(logging.WARNING)
