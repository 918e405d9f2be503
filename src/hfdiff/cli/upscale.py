"""``hfdiff upscale``: pictures and folders in, better ones out."""

import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hfdiff.core.errors import SettingsError

if TYPE_CHECKING:
    from hfdiff.upscaling.plan import Job, Naming
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
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only failures.")] = False,
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
        _upscale_stream(paths[0], naming, options, load, quality)
    else:
        _upscale_files(paths, naming, options, load, quality, report)


def _upscale_files(
    paths: list[str],
    naming: "Naming",
    options: Any,
    load: dict[str, Any],
    quality: int | None,
    report: "_Report",
) -> None:
    from hfdiff.model.find import find_model
    from hfdiff.model.model_file import describe
    from hfdiff.upscaling.plan import plan_work
    from hfdiff.upscaling.run import run_plan
    from hfdiff.upscaling.upscaler import Upscaler

    model_scale = describe(find_model(load["model"])).config.scale
    plan = plan_work(paths, naming, options, model_scale=model_scale)
    upscaler = Upscaler.from_pretrained(**load)
    upscaler.model.check_steps(options.steps)
    report.begin(upscaler.summary(), len(plan.jobs), plan.ignored)
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
    source: str, naming: "Naming", options: Any, load: dict[str, Any], quality: int | None
) -> None:
    """One picture where - stands for standard input, or for standard output, or both."""
    import io

    from hfdiff.imaging.files import FORMATS, encode_picture, read_picture, write_picture
    from hfdiff.upscaling.upscaler import Upscaler

    picture = read_picture(io.BytesIO(sys.stdin.buffer.read()) if source == "-" else Path(source))
    wanted = naming.format or picture.format
    if not FORMATS[wanted].writable or (picture.has_alpha and not FORMATS[wanted].alpha):
        wanted = "PNG"
    better = Upscaler.from_pretrained(**load).upscale(picture, options)
    if naming.output is None or str(naming.output) == "-":
        sys.stdout.buffer.write(encode_picture(better, wanted, quality=quality))
    elif naming.output.exists() and not naming.overwrite:
        raise SettingsError(f"{naming.output} exists", hint="use --overwrite to make it anew")
    else:
        write_picture(better, naming.output, wanted, quality=quality)


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
        self._as_json = as_json
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._done = 0
        self._total = 0
        self._megapixels = 0.0
        self._began = time.monotonic()

    def begin(self, summary: str, total: int, ignored: int) -> None:
        """Say what runs where, and show a bar where a person is looking."""
        if self._quiet or self._as_json:
            return
        typer.echo(summary, err=True)
        if ignored:
            typer.echo(f"{ignored} files are no pictures and were passed over", err=True)
        if total and sys.stderr.isatty():
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
        self._done += record.status == "done"
        self._megapixels += record.output_width * record.output_height / 1e6
        if record.status == "failed":
            self._failures.append(record)
        if self._as_json:
            typer.echo(json.dumps(asdict(record), default=str))
        elif record.status == "done" and not self._quiet:
            self._line(_line(record))

    def end(self, *, interrupted: bool = False) -> None:
        """Totals, and every failure with its reason."""
        if self._bar is not None:
            self._bar.stop()
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
