"""``hfdiff upscale``: pictures and folders in, better ones out."""

import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hfdiff.core.errors import CheckpointError, ImageError, MissingExtraError, SettingsError

if TYPE_CHECKING:
    from hfdiff.imaging.files import Header
    from hfdiff.upscaling.options import UpscaleOptions
    from hfdiff.upscaling.plan import Job, Naming, Plan
    from hfdiff.upscaling.run import Record


def upscale(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT...", help="Pictures, folders, patterns; - reads stdin."),
    ] = None,
    input_option: Annotated[
        list[str] | None, typer.Option("-i", "--input", hidden=True, help="As INPUT.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File or folder; default: NAME_x4 beside the source."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", "-n", help="Name in the box, model file, folder or hub id."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option("-s", "--scale", help="Output over input size, 1 to 16."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH", help="Exact pixels; W x or x H alone."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same picture.")] = 0,
    steps: Annotated[
        int, typer.Option("--steps", help="Denoising steps; a one-step student takes 1.")
    ] = 1,
    tile: Annotated[
        int | None,
        typer.Option(
            "-t",
            "--tile",
            metavar="PIXELS",
            help="Tile side in input pixels; 0: whole picture; default: the model's.",
        ),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option("--overlap", metavar="PIXELS", help="What tiles share; default: the model's."),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", help="Tiles computed at once.")] = 1,
    device: Annotated[
        str,
        typer.Option("--device", "-g", help="auto, cpu, cuda:0 or mps."),
    ] = "auto",
    dtype: Annotated[
        str,
        typer.Option("--dtype", help="float32, bfloat16 or float16 for the networks."),
    ] = "float32",
    fp32: Annotated[bool, typer.Option("--fp32", hidden=True, help="As --dtype float32.")] = False,
    file_format: Annotated[
        str,
        typer.Option("-f", "--format", "--ext", help="auto, png, jpg, webp, tiff or avif."),
    ] = "auto",
    quality: Annotated[
        int | None,
        typer.Option("--quality", min=1, max=100, help="Of JPEG, WebP, AVIF; default 95."),
    ] = None,
    suffix: Annotated[
        str | None, typer.Option("--suffix", help="Put behind each output's name.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make outputs anew that exist.")
    ] = False,
    recursive: Annotated[
        bool,
        typer.Option("--recursive/--no-recursive", help="Whether folders in folders are entered."),
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a picture on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only what was not done.")] = False,
) -> None:
    """Enlarge pictures and make them better.

    Example: hfdiff upscale holiday.jpg -o better/
    """
    from hfdiff.imaging.files import format_named
    from hfdiff.upscaling.options import UpscaleOptions, parse_size
    from hfdiff.upscaling.plan import Naming

    paths = [*(inputs or []), *(input_option or [])]
    if not paths:
        raise SettingsError("no input given", hint="hfdiff upscale PICTURE_OR_FOLDER -o OUT")
    if fp32 and dtype != "float32":
        raise SettingsError(f"--fp32 and --dtype {dtype} contradict each other")
    options = UpscaleOptions(
        scale=scale,
        size=None if size is None else parse_size(size),
        seed=seed,
        steps=steps,
        tile=tile,
        overlap=overlap,
        batch=batch,
    )
    naming = Naming(
        output=output,
        format=None if file_format == "auto" else format_named(file_format),
        suffix=suffix,
        overwrite=overwrite,
        recursive=recursive,
    )
    report = _Report(as_json=as_json, quiet=quiet)
    load = {"model": model, "device": _device_name(device), "dtype": dtype}
    if "-" in (*paths, str(output)):
        if len(paths) > 1:
            raise SettingsError(f"- stands for one picture, got {len(paths)} inputs")
        if as_json or suffix is not None:
            raise SettingsError(f"{'--json' if as_json else '--suffix'} does not go with -")
        _upscale_stream(paths[0], naming, options, load, quality)
    else:
        _upscale_files(paths, naming, options, load, quality, report)


def _upscale_files(
    paths: list[str],
    naming: "Naming",
    options: "UpscaleOptions",
    load: dict[str, Any],
    quality: int | None,
    report: "_Report",
) -> None:
    from hfdiff.model.model_file import describe
    from hfdiff.upscaling.plan import plan_work
    from hfdiff.upscaling.run import run_plan
    from hfdiff.upscaling.upscaler import Upscaler

    load["model"] = _found(load["model"])
    model_scale = describe(load["model"]).config.scale
    plan = plan_work(paths, naming, options, model_scale=model_scale)
    upscaler = Upscaler.from_pretrained(**load)
    upscaler.model.check_steps(options.steps)
    report.begin(upscaler.summary(), plan)
    try:
        for record in run_plan(
            plan, upscaler, options, quality=quality, on_progress=report.progress
        ):
            report.add(record)
    except KeyboardInterrupt:
        report.end(interrupted=True)
        raise typer.Exit(130) from None
    report.end()
    if report.count["failed"] or report.count["exists"]:
        raise typer.Exit(1)


def _upscale_stream(
    source: str,
    naming: "Naming",
    options: "UpscaleOptions",
    load: dict[str, Any],
    quality: int | None,
) -> None:
    """One picture where - stands for standard input, or for standard output, or both."""
    import io

    from hfdiff.imaging.files import encode_picture, read_header, read_picture, write_picture
    from hfdiff.upscaling.upscaler import Upscaler

    load["model"] = _found(load["model"])
    content = io.BytesIO(sys.stdin.buffer.read()) if source == "-" else Path(source)
    target, wanted, notes = _stream_target(read_header(content), naming)
    picture = read_picture(content)
    better = Upscaler.from_pretrained(**load).upscale(picture, options)
    if target is None:
        sys.stdout.buffer.write(encode_picture(better, wanted, quality=quality))
    else:
        write_picture(better, target, wanted, quality=quality)
    for note in (*notes, *picture.notes):
        typer.echo(f"note: {note}", err=True)


def _stream_target(header: "Header", naming: "Naming") -> tuple[Path | None, str, tuple[str, ...]]:
    """Where one picture goes (None: standard output), its format, and notes on both."""
    from hfdiff.imaging.files import PICTURE_SUFFIXES
    from hfdiff.upscaling.plan import choose_format, fitting_name

    single = naming.output
    if single is None or str(single) == "-":
        return (None, *choose_format(header, naming))
    if single.is_dir():
        raise SettingsError(f"- has no name for a file in the folder {single}", hint="name a file")
    if naming.format is None and single.suffix.lower() not in PICTURE_SUFFIXES:
        raise SettingsError(f"the name {single} tells no format", hint="add --format png")
    wanted, notes = choose_format(header, naming, single)
    target = fitting_name(single, wanted, naming)
    if target.exists() and not naming.overwrite:
        raise ImageError(f"{target} exists", hint="--overwrite makes existing outputs anew")
    return target, wanted, notes if target == single else (*notes, f"the output is {target}")


def _found(model: str | None) -> Path:
    """The model's file or folder; an extra that is missing for that is a model not loadable."""
    from hfdiff.model.find import find_model

    try:
        return find_model(model)
    except MissingExtraError as error:
        raise CheckpointError(str(error), hint=error.hint) from error


def _device_name(device: str) -> str:
    """``-g 0`` means the first GPU and ``-g -1`` the CPU, as in the ncnn tools."""
    if device.lstrip("-").isdecimal():
        return "cpu" if int(device) < 0 else f"cuda:{int(device)}"
    return device


class _Report:
    """Results on stdout, progress and failures on stderr; JSON lines for machines."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.count: Counter[str] = Counter()
        self._failures: list[Record] = []
        self._existing: list[Record] = []
        self._as_json = as_json
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._done = 0
        self._total = 0
        self._megapixels = 0.0
        self._began = time.monotonic()

    def begin(self, summary: str, plan: "Plan") -> None:
        """Say what runs where, and show a bar where a person is looking."""
        if self._quiet or self._as_json:
            return
        typer.echo(summary, err=True)
        if plan.ignored:
            typer.echo(f"{plan.ignored} files are no pictures and were passed over", err=True)
        if plan.earlier:
            typer.echo(f"{plan.earlier} outputs of earlier runs were passed over", err=True)
        total = len(plan.jobs) + len(plan.refusals)  # a record comes of each
        if plan.jobs and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._total, self._began = total, time.monotonic()
            self._task = self._bar.add_task(f"0/{total}", total=float(total))
            self._bar.start()

    def progress(self, job: "Job", done: int, tiles: int) -> None:
        """Tiles of the current picture."""
        if self._bar is not None:
            rate = self._megapixels / max(time.monotonic() - self._began, 1e-9)
            text = f"{self._done}/{self._total}  {job.source.name}  {rate:.2f} MP/s"
            self._bar.update(self._task, completed=self._done + done / tiles, description=text)

    def add(self, record: "Record") -> None:
        """One picture is settled."""
        self.count[record.status] += 1
        self._done += 1
        self._megapixels += record.output_width * record.output_height / 1e6
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
        if record.status == "failed":
            self._failures.append(record)
        elif record.status == "exists":
            self._existing.append(record)
        if self._as_json:
            typer.echo(json.dumps(asdict(record), default=str))
        elif record.status == "done" and not self._quiet:
            self._line(_line(record))

    def end(self, *, interrupted: bool = False) -> None:
        """Totals, every output that was left alone, and every failure with its reason."""
        if self._bar is not None:
            self._bar.stop()
        for record in [] if self._as_json else self._existing:
            typer.echo(f"exists: {record.output}", err=True)
        for record in self._failures:
            typer.echo(f"failed: {record.path}: {record.reason}", err=True)
        if self._quiet or self._as_json:
            return
        parts = [f"{self.count['done']} done"]
        parts += [f"{self.count['exists']} left alone (exist)"] if self.count["exists"] else []
        parts += [f"{self.count['failed']} failed"] if self.count["failed"] else []
        parts += ["interrupted; what is done is kept"] if interrupted else []
        typer.echo(", ".join(parts), err=True)
        if self.count["exists"]:
            typer.echo("hint: --overwrite makes existing outputs anew", err=True)

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            typer.echo(text)


def _line(record: "Record") -> str:
    notes = "".join(f"  ({note})" for note in record.notes)
    return (
        f"{record.path}  {record.width}x{record.height} -> "
        f"{record.output_width}x{record.output_height}  {record.seconds:.1f} s  "
        f"{record.tiles} tile{'' if record.tiles == 1 else 's'}  {record.output}{notes}"
    )
