"""``hfdiff curves``: the curves of a training run as an SVG file."""

from pathlib import Path
from typing import Annotated

import typer

from hfdiff.core.errors import SettingsError


def curves(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The SVG file; without it RUN/curves.svg."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write the file anew if it exists.")
    ] = False,
) -> None:
    """Draw the curves of a training run: every term, validation, gradient norms.

    Example: hfdiff curves runs/teacher -o curves.svg --overwrite
    """
    from hfdiff.training.curves import write_curves

    path = run / "curves.svg" if out is None else out
    if path.exists() and not overwrite:
        raise SettingsError(f"{path} exists", hint="use --overwrite to write it anew")
    if not path.parent.is_dir():
        raise SettingsError(f"the folder {path.parent} does not exist")
    drawn = write_curves(run, path)
    typer.echo(f"{path}  {len(drawn)} panels")
