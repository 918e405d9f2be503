"""``hfdiff tune``: from a folder of own photographs to a model file."""

from pathlib import Path
from typing import Annotated

import typer

from hfdiff.cli.train import exit_code, log_to_stderr


def tune(
    folder: Annotated[Path, typer.Argument(help="Photographs; with its folders.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PART.KEY=VALUE...]",
            help="Settings of a part: autoencoder, teacher, latent or student.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the result.")] = Path(
        "tuned"
    ),
    start: Annotated[
        str,
        typer.Option(
            "--start",
            help="Model file of a student or a teacher; none: learn all anew. Default: in the box.",
        ),
    ] = "",
    preset: Annotated[str, typer.Option("--preset", help="lite or tiny.")] = "lite",
    device: Annotated[str, typer.Option("--device", help="auto or cpu.")] = "auto",
    threads: Annotated[int, typer.Option("--threads", help="CPU threads; 0: all.")] = 0,
) -> None:
    """Make a model of your own photographs: a student is trained on, a teacher taught anew.

    Example: hfdiff tune photos -o mine

    The same command goes on after an interruption. Pictures are never changed.
    """
    from hfdiff.training.stopping import StoppedError
    from hfdiff.training.tune import Tuning
    from hfdiff.training.tune import tune as run

    log_to_stderr()
    if threads:
        import torch

        torch.set_num_threads(threads)
    wanted = Tuning(
        folder=folder, out=output, start=start, preset=preset, changes=tuple(changes or ())
    )
    try:
        path = run(wanted, device=device)
    except StoppedError as stopped:
        typer.echo(f"{stopped}\ngo on with the same command", err=True)
        raise typer.Exit(exit_code(stopped.signal_number)) from stopped
    typer.echo(path)
