"""``hfdiff upscale``: pictures and folders in, better ones out."""

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hfdiff.cli.interrupts import terminable
from hfdiff.cli.upscale_report import Report
from hfdiff.cli.upscale_stream import found_model, upscale_stream
from hfdiff.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hfdiff.model.model_file import Description
    from hfdiff.upscaling.names import Job
    from hfdiff.upscaling.options import Naming, UpscaleOptions, Writing
    from hfdiff.upscaling.records import Record


def upscale(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT...", help="Pictures, folders, patterns; - reads stdin."),
    ] = None,
    input_option: Annotated[
        list[str] | None, typer.Option("-i", "--input", hidden=True, help="As INPUT.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="File or folder (ends in /); default: NAME_x4 beside the source.",
        ),
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
    min_size: Annotated[
        str | None,
        typer.Option("--min-size", metavar="WxH", help="At least; larger ones are copied."),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option("--max-size", metavar="WxH", help="At most; larger ones are copied."),
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
    batch: Annotated[
        int, typer.Option("--batch", help="At most so many tiles at once; rounding may differ.")
    ] = 1,
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
    resume: Annotated[
        bool, typer.Option("--resume", help="What an earlier run made counts as done.")
    ] = False,
    recursive: Annotated[
        bool,
        typer.Option("--recursive/--no-recursive", help="Whether folders in folders are entered."),
    ] = True,
    fidelity: Annotated[
        float,
        typer.Option(
            metavar="0..1",
            help="0: the model as it is; 1: the plain enlargement held to the input.",
        ),
    ] = 0.0,
    color_fix: Annotated[
        bool | None,
        typer.Option(
            "--color-fix/--no-color-fix",
            help="Keep the colours of the input; default: as the model file says.",
        ),
    ] = None,
    strip_metadata: Annotated[
        bool, typer.Option("--strip-metadata", help="Carry over the ICC profile only.")
    ] = False,
    provenance: Annotated[
        bool,
        typer.Option("--provenance/--no-provenance", help="State model, options, seed in XMP."),
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be made, how long, how much memory.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a picture on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only what was not done.")] = False,
) -> None:
    """Enlarge pictures and make them better.

    Example: hfdiff upscale holiday.jpg -o better/
    """
    from hfdiff.imaging.files import format_named
    from hfdiff.upscaling.options import Naming, UpscaleOptions, Writing, parse_size

    paths = [*(inputs or []), *(input_option or [])]
    if not paths:
        raise SettingsError("no input given", hint="hfdiff upscale PICTURE_OR_FOLDER -o OUT")
    if output == "":
        raise SettingsError("the output has no name", hint="is a variable of the shell empty?")
    if fp32 and dtype != "float32":
        raise SettingsError(f"--fp32 and --dtype {dtype} contradict each other")
    options = UpscaleOptions(
        scale=scale,
        size=parse_size(size),
        min_size=parse_size(min_size),
        max_size=parse_size(max_size),
        seed=seed,
        steps=steps,
        tile=tile,
        overlap=overlap,
        batch=batch,
        fidelity=fidelity,
        color_fix=color_fix,
    )
    naming = Naming(
        output=None if output is None else Path(output),
        is_folder=output is not None and output.endswith(("/", os.sep)),
        format=None if file_format == "auto" else format_named(file_format),
        suffix=suffix,
        overwrite=overwrite,
        resume=resume,
        recursive=recursive,
    )
    writing = Writing(quality=quality, strip_metadata=strip_metadata, provenance=provenance)
    report = Report(as_json=as_json, quiet=quiet)
    load = {"model": model, "device": _device_name(device), "dtype": dtype}
    with terminable():
        if "-" in (*paths, output):
            if len(paths) > 1:
                raise SettingsError(f"- stands for one picture, got {len(paths)} inputs")
            named = {"--json": as_json, "--suffix": suffix is not None, "--resume": resume}
            named["--dry-run"] = dry_run
            for option in [name for name, is_set in named.items() if is_set]:
                raise SettingsError(f"{option} does not go with -")
            upscale_stream(paths[0], naming, options, load, writing)
        else:
            work = _upscale_nothing if dry_run else _upscale_files
            work(paths, naming, options, load, writing, report)


def _upscale_files(
    paths: list[str],
    naming: "Naming",
    options: "UpscaleOptions",
    load: dict[str, Any],
    writing: "Writing",
    report: "Report",
) -> None:
    from hfdiff.upscaling.plan import plan_work
    from hfdiff.upscaling.records import refused

    load["model"] = found_model(load["model"])
    plan = plan_work(paths, naming, options, model_scale=_model_scale(load["model"]))
    if plan.jobs:
        from hfdiff.upscaling.run import run_plan
        from hfdiff.upscaling.upscaler import Upscaler

        upscaler = Upscaler.from_pretrained(**load)
        upscaler.model.check_steps(options.steps)
        records = run_plan(plan, upscaler, options, writing=writing, on_progress=report.progress)
        report.begin(upscaler.summary(), plan)
    else:
        report.begin("", plan)
        records = refused(plan)
    try:
        for record in records:
            report.add(record)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            report.end(interrupted=True)
        raise typer.Exit(130) from None
    report.end()
    if report.count["failed"] or report.count["exists"]:
        raise typer.Exit(1)


def _upscale_nothing(
    paths: list[str],
    naming: "Naming",
    options: "UpscaleOptions",
    load: dict[str, Any],
    writing: "Writing",
    report: "Report",
) -> None:
    """A dry run: the plan, and a forecast of what it would take."""
    began = time.monotonic()
    from hfdiff.upscaling.plan import plan_work
    from hfdiff.upscaling.records import refused

    path = found_model(load["model"])
    plan = plan_work(paths, naming, options, model_scale=_model_scale(path))
    description: Description | None = None
    foreseen: Iterable[tuple[Job, Record]] = ()
    if plan.jobs:  # what follows imports torch
        from hfdiff.model.model_file import describe
        from hfdiff.upscaling.run import planned

        description = describe(path)
        foreseen = planned(plan, description, load["dtype"], options, writing)
    report.begin("dry run: nothing is written", plan)
    for record in refused(plan):
        report.add(record)
    jobs = []
    for job, record in foreseen:
        report.add(record)
        if record.status == "planned":
            jobs.append(job)
    report.end()
    if jobs and description is not None:
        from hfdiff.upscaling.forecast import forecast

        given = {"device": load["device"], "dtype": load["dtype"], "writing": writing}
        report.foresee(forecast(jobs, description, options, **given, began=began))
    if report.count["failed"] or report.count["exists"]:
        raise typer.Exit(1)


def _model_scale(path: Path) -> int:
    """By how much a model enlarges; a file that is none is refused.

    Models in the box are not looked at further, which would need torch: a second and 200 MB.
    """
    from hfdiff.model.document import stated_scale
    from hfdiff.model.find import bundled_models

    if path in bundled_models().values() and (scale := stated_scale(path)) is not None:
        return scale
    from hfdiff.model.model_file import describe

    return describe(path).config.scale


def _device_name(device: str) -> str:
    """``-g 0`` means the first GPU and ``-g -1`` the CPU, as in the ncnn tools."""
    if device.lstrip("-").isdecimal():
        return "cpu" if int(device) < 0 else f"cuda:{int(device)}"
    return device
