"""``hfdiff degrade``: from gt pictures to lq pictures, with a record that can be replayed."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from hfdiff.core.errors import HFDiffError, SettingsError

if TYPE_CHECKING:
    from hfdiff.degradation.decisions import Decisions
    from hfdiff.imaging.picture import Picture
    from hfdiff.upscaling.names import Job
    from hfdiff.upscaling.plan import Plan

Records: TypeAlias = dict[str, dict[str, Any]]
_RECORD_NAME = "degradation.jsonl"


def degrade(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="gt pictures, folders, patterns.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder, or .png file for one picture.")
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="training (default), imagenet_test, mild, camera, mixed or photographs.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed gives the same lq; default 0.")
    ] = None,
    scale: Annotated[
        int | None, typer.Option("-s", "--scale", min=1, help="gt side over lq side; default 4.")
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option("--params", help=f"Record to write; default: {_RECORD_NAME} in the folder."),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option("--replay", help="Record whose decisions are repeated exactly.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make outputs anew that exist.")
    ] = False,
    recursive: Annotated[
        bool,
        typer.Option("--recursive/--no-recursive", help="Whether folders in folders are entered."),
    ] = True,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only failures.")] = False,
) -> None:
    """Degrade gt pictures to lq as in training, and record what was drawn.

    Writes PNG files and one line of JSON for each picture.

    Example: hfdiff degrade photographs/ -o lq/ --preset mixed --seed 7
    """
    from hfdiff.upscaling.options import Naming, UpscaleOptions
    from hfdiff.upscaling.plan import plan_work

    single = output.suffix != "" and not output.is_dir()
    if single and output.suffix.lower() != ".png":
        raise SettingsError(f"lq is written as PNG, not as {output}", hint="name it .png")
    naming = Naming(
        output=output, format="PNG", suffix="", overwrite=overwrite, recursive=recursive
    )
    plan = plan_work(inputs, naming, UpscaleOptions(scale=1), model_scale=1)
    place = params or (output.with_suffix(".jsonl") if single else output / _RECORD_NAME)
    decided = _decider(preset=preset, seed=seed, scale=scale, replay=replay)
    _run(plan, decided, _Place(record=place, output=output, single=single), quiet=quiet)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where outputs and their record go."""

    record: Path
    output: Path
    single: bool

    def name_of(self, job: "Job") -> str:
        """What a picture is called in records: its path below the output folder, no suffix.

        Draws follow from this name, so they depend neither on order nor on other pictures.
        """
        if self.single:
            return job.source.stem
        below = PurePosixPath(job.target.relative_to(self.output).as_posix())
        return below.with_suffix("").as_posix()


def _decider(
    *, preset: str | None, seed: int | None, scale: int | None, replay: Path | None
) -> Callable[[str], tuple["Decisions", dict[str, Any]]]:
    """From the name of a picture to its decisions and what the record says of their origin."""
    from hfdiff.core.rng import numpy_rng
    from hfdiff.degradation import presets
    from hfdiff.degradation.decisions import decide, decisions_from

    if replay is not None:
        if (preset, seed, scale) != (None, None, None):
            raise SettingsError("--replay repeats a record: no --preset, --seed or --scale with it")
        records = _read_records(replay)

        def replayed(name: str) -> tuple["Decisions", dict[str, Any]]:
            if name not in records:
                raise SettingsError(f"{replay} has no decisions for {name}")
            record = records[name]
            origin = {key: record.get(key) for key in ("preset", "seed")}
            return decisions_from(record.get("decisions"), f"{replay}: {name}"), origin

        return replayed

    preset, seed = preset or "training", seed or 0
    degradation = presets.preset(preset, scale=scale or 4)

    def drawn(name: str) -> tuple["Decisions", dict[str, Any]]:
        decisions = decide(degradation, rng=numpy_rng(seed, "degrade", name))
        return decisions, {"preset": preset, "seed": seed}

    return drawn


def _run(
    plan: "Plan",
    decided: Callable[[str], tuple["Decisions", dict[str, Any]]],
    place: _Place,
    *,
    quiet: bool,
) -> None:
    records = _read_records(place.record) if place.record.exists() else {}
    count: Counter[str] = Counter()
    for refusal in plan.refusals:
        count["left alone (exist)" if refusal.exists else "failed"] += 1
        typer.echo(f"{refusal.source}: {refusal.reason}", err=True)
    try:
        for job in plan.jobs:
            name = place.name_of(job)
            try:
                decisions, origin = decided(name)
                line, record = _degrade_one(job, decisions)
            except HFDiffError as error:
                count["failed"] += 1
                typer.echo(f"failed: {job.source}: {error}", err=True)
                continue
            count["done"] += 1
            records[name] = {"picture": name, **origin, **record}
            if not quiet:
                typer.echo(line)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    finally:
        # What was done before an interruption keeps its record too.
        if count["done"]:
            _write_records(place.record, records)
    if not quiet:
        typer.echo(", ".join(f"{number} {what}" for what, number in count.items()), err=True)
    if count["failed"] or count["left alone (exist)"]:
        raise typer.Exit(1)


def _degrade_one(job: "Job", decisions: "Decisions") -> tuple[str, dict[str, Any]]:
    """Make one lq; the line for people and what the record says."""
    import numpy as np

    from hfdiff.core.settings import plain
    from hfdiff.degradation.pipeline import degrade as degrade_gt
    from hfdiff.imaging.files import read_picture, write_picture
    from hfdiff.imaging.picture import Metadata, Picture
    from hfdiff.imaging.pixels import samples_from_01, samples_to_01

    gt, notes = _whole_gt(read_picture(job.source), decisions.scale)
    lq_01 = degrade_gt(samples_to_01(gt.samples)[0], decisions)
    samples = samples_from_01(lq_01, np.dtype(np.uint8))
    lq = Picture(samples=samples, metadata=Metadata(icc=gt.metadata.icc))
    write_picture(lq, job.target, "PNG")
    said = "".join(f"  ({note})" for note in notes)
    line = f"{job.source}  {gt.width}x{gt.height} -> {lq.width}x{lq.height}  {job.target}{said}"
    record = {"gt_size": [gt.width, gt.height], "decisions": plain(decisions)}
    return line, record


def _whole_gt(picture: "Picture", scale: int) -> tuple["Picture", list[str]]:
    """A picture as RGB with sides that the scale divides, and what was done to it."""
    from dataclasses import replace

    notes = [*picture.notes]
    samples = picture.samples
    if picture.has_alpha:
        notes.append("transparency dropped")
        samples = samples[:, :, :-1]
    if samples.shape[2] == 1:
        samples = samples.repeat(3, axis=2)
    height, width = (side // scale * scale for side in samples.shape[:2])
    # A side below the scale is left to the degradation's own refusal.
    height, width = height or picture.height, width or picture.width
    if (height, width) != (picture.height, picture.width):
        notes.append(f"gt cut from {picture.width}x{picture.height}")
    return replace(picture, samples=samples[:height, :width]), notes


def _read_records(path: Path) -> Records:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the record {path} cannot be read: {error}") from error
    records: Records = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            record = json.loads(line)
            records[record["picture"]] = record
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{path}, line {number}: not the record of a degradation"
            ) from error
    return records


def _write_records(path: Path, records: Records) -> None:
    from hfdiff.core.files import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(record) + "\n" for record in records.values())
    with replacing(path) as scratch:
        scratch.write_text(lines, "utf-8")
