"""``hfdiff evaluate``: how good are these pictures, by a named protocol."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from hfdiff.core.errors import SettingsError


def evaluate(
    sr: Annotated[Path, typer.Argument(metavar="SR", help="Results: a picture or a folder.")],
    gt: Annotated[
        Path | None,
        typer.Option("--gt", help="What they should look like; paired by name."),
    ] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", help="How to measure: osediff or sinsr.")
    ] = "osediff",
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="A,B",
            help="Instead of the protocol's: psnr_y, ssim_y, lpips, lpips_vgg, dists, niqe.",
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept gt pictures that have no result.")
    ] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a row a picture.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write the CSV file anew if it exists.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything as one JSON object on stdout.")
    ] = False,
    device: Annotated[
        str, typer.Option("--device", "-g", help="auto, cpu, cuda:0 or mps.")
    ] = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap intervals.")] = 0,
) -> None:
    """Measure results, alone or against ground truth: per picture, means, intervals, worst first.

    Example: hfdiff evaluate results/ --gt truth/ --csv values.csv
    """
    from hfdiff.evaluation import report, runner

    if csv_file is not None:
        _check_writable(csv_file, overwrite=overwrite)
    names = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    with _progress() as on_progress:
        evaluation = runner.evaluate(
            sr,
            gt,
            protocol=protocol,
            metrics=names,
            device=device,
            partial=partial,
            seed=seed,
            on_progress=on_progress,
        )
    if csv_file is not None:
        report.write_csv(evaluation, csv_file)
    typer.echo(report.as_json(evaluation) if as_json else report.as_text(evaluation))
    if evaluation.failures:
        raise typer.Exit(1)


def _check_writable(path: Path, *, overwrite: bool) -> None:
    """Before the work, not after it."""
    if not path.parent.is_dir():
        raise SettingsError(f"the folder {path.parent} for --csv does not exist")
    if path.exists() and not overwrite:
        raise SettingsError(f"{path} exists", hint="use --overwrite to write it anew")


def _progress() -> Any:
    """A bar on stderr where a person is looking, else nothing."""
    import contextlib

    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    return _bar()


def _bar() -> Any:
    import contextlib

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    @contextlib.contextmanager
    def shown() -> Any:
        columns = (MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("pictures", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    return shown()
