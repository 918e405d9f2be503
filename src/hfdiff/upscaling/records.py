"""What became of each input of a plan. No torch here: what is refused needs no model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hfdiff.upscaling.names import Job
from hfdiff.upscaling.plan import Plan

Status = Literal["done", "kept", "exists", "failed", "planned"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What became of one input.

    Attributes:
        path: The input.
        output: The output, where one was planned.
        status: ``done``, ``kept`` (done by an earlier run), ``exists`` (left alone), ``failed``, or
            ``planned`` in a dry run.
        reason: One sentence where it was not done.
        width, height: Of the input, pixels.
        output_width, output_height: Of the output, pixels.
        tiles: How many tiles were computed; 0 for a picture that was copied.
        tile: Their longer side in lq pixels.
        dtype: What the networks computed in.
        device: Where.
        retries: How often something was computed again, by smaller tiles or in float32.
        seconds: From opening the file to its output being in place.
        notes: What was changed on the way.
    """

    path: Path
    output: Path | None
    status: Status
    reason: str = ""
    width: int = 0
    height: int = 0
    output_width: int = 0
    output_height: int = 0
    tiles: int = 0
    tile: int = 0
    dtype: str = ""
    device: str = ""
    retries: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def refused(plan: Plan) -> Iterator[Record]:
    """Records of what will not be computed."""
    for refusal in plan.refusals:
        yield Record(
            path=refusal.source,
            output=refusal.target,
            status="exists" if refusal.exists else "failed",
            reason=refusal.reason,
            width=refusal.size[0],
            height=refusal.size[1],
            output_width=refusal.target_size[0],
            output_height=refusal.target_size[1],
        )


def record_of(job: Job, status: Status, **facts: Any) -> Record:
    """The record of a job, with its planned sizes where ``facts`` has no others."""
    sizes = {
        "width": job.size[0],
        "height": job.size[1],
        "output_width": job.target_size[0],
        "output_height": job.target_size[1],
    }
    return Record(path=job.source, output=job.target, status=status, **{**sizes, **facts})
