"""Do what the plan says, picture by picture; one bad picture never stops the rest."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hfdiff.imaging.files import read_picture, write_picture
from hfdiff.upscaling.names import Job
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.plan import Plan
from hfdiff.upscaling.reasons import reason_of
from hfdiff.upscaling.upscaler import Upscaler

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What became of one input.

    Attributes:
        path: The input.
        output: The output, where one was planned.
        status: ``done``, ``exists`` (left alone) or ``failed``.
        reason: One sentence where it was not done.
        width, height: Of the input, pixels.
        output_width, output_height: Of the output, pixels.
        tiles: How many tiles were computed.
        seconds: From opening the file to its output being in place.
        notes: What was changed on the way.
    """

    path: Path
    output: Path | None
    status: Literal["done", "exists", "failed"]
    reason: str = ""
    width: int = 0
    height: int = 0
    output_width: int = 0
    output_height: int = 0
    tiles: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def run_plan(
    plan: Plan,
    upscaler: Upscaler,
    options: UpscaleOptions,
    *,
    quality: int | None = None,
    on_progress: Callable[[Job, int, int], None] | None = None,
) -> Iterator[Record]:
    """Refusals first, then every job as it is finished.

    Args:
        plan: What to do.
        upscaler: The model at work.
        options: Size, seed, steps, tiling.
        quality: 1..100 for lossy formats; None: each format's default.
        on_progress: Called with (job, tiles done, tiles in all).
    """
    yield from refused(plan)
    for job in plan.jobs:
        yield _run_job(job, upscaler, options, quality, on_progress)


def refused(plan: Plan) -> Iterator[Record]:
    """Records of what will not be computed."""
    for refusal in plan.refusals:
        status: Literal["exists", "failed"] = "exists" if refusal.exists else "failed"
        yield Record(
            path=refusal.source,
            output=refusal.target,
            status=status,
            reason=refusal.reason,
            width=refusal.size[0],
            height=refusal.size[1],
            output_width=refusal.target_size[0],
            output_height=refusal.target_size[1],
        )


def _run_job(
    job: Job,
    upscaler: Upscaler,
    options: UpscaleOptions,
    quality: int | None,
    on_progress: Callable[[Job, int, int], None] | None,
) -> Record:
    def report(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(job, done, total)

    begin = time.perf_counter()
    try:
        picture = read_picture(job.source)
        better = upscaler.upscale(picture, options, on_progress=report)
        write_picture(better, job.target, job.format, quality=quality)
    except Exception as error:  # noqa: BLE001  (one picture must never stop a folder)
        _log.debug("%s failed", job.source, exc_info=True)
        reason = reason_of(error)
        return Record(path=job.source, output=job.target, status="failed", reason=reason)
    return Record(
        path=job.source,
        output=job.target,
        status="done",
        width=picture.width,
        height=picture.height,
        output_width=better.width,
        output_height=better.height,
        tiles=len(upscaler.plan(picture, options)),
        seconds=time.perf_counter() - begin,
        notes=(*job.notes, *picture.notes),
    )
