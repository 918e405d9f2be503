"""What ``hfdiff upscale`` says: results, progress, failures, totals."""

import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from hfdiff.cli.shown import counted, shown

if TYPE_CHECKING:
    from hfdiff.upscaling.forecast import Forecast
    from hfdiff.upscaling.names import Job
    from hfdiff.upscaling.plan import Plan
    from hfdiff.upscaling.records import Record


class Report:
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
        if summary:
            _note(summary)
        if plan.ignored:
            ignored = counted(plan.ignored, "file is no picture", "files are no pictures")
            _note(f"{ignored}: passed over")
        if plan.unfollowed:
            _note(
                f"{counted(plan.unfollowed, 'link to a folder', 'links to folders')}: not followed"
            )
        if plan.earlier:
            outputs = ("output of an earlier run was", "outputs of earlier runs were")
            _note(f"{counted(plan.earlier, *outputs)} passed over")
        total = len(plan.jobs) + len(plan.refusals)  # a record comes of each
        if plan.jobs and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            text = TextColumn("{task.description}", markup=False)  # names hold brackets
            columns = (text, BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._total, self._began = total, time.monotonic()
            self._task = self._bar.add_task(f"0/{total}", total=float(total))
            self._bar.start()

    def progress(self, job: "Job", done: int, tiles: int) -> None:
        """Tiles of the current picture."""
        if self._bar is not None:
            rate = self._megapixels / max(time.monotonic() - self._began, 1e-9)
            text = f"{self._done}/{self._total}  {shown(job.source.name)}  {rate:.2f} MP/s"
            done_now = max(self._bar.tasks[0].completed, self._done + done / tiles)  # never back
            self._bar.update(self._task, completed=done_now, description=text)

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
        elif record.status in ("done", "planned") and not self._quiet:
            self._line(_line(record))

    def end(self, *, interrupted: bool = False) -> None:
        """Totals, every output that was left alone, and every failure with its reason."""
        if self._bar is not None:
            self._bar.stop()
        for record in [] if self._as_json else self._existing:
            _note(f"exists: {record.output}")
        for record in self._failures:
            _note(f"failed: {record.path}: {record.reason}")
        if self._quiet or self._as_json:
            return
        done = f"{self.count['done']} done"
        if not (self.count or interrupted):
            _note("nothing to do: no pictures there")
            return
        parts = [f"{self.count['planned']} planned" if self.count["planned"] else done]
        parts += [f"{self.count['kept']} kept from an earlier run"] if self.count["kept"] else []
        parts += [f"{self.count['exists']} left alone (exist)"] if self.count["exists"] else []
        parts += [f"{self.count['failed']} failed"] if self.count["failed"] else []
        parts += ["interrupted; what is done is kept"] if interrupted else []
        _note(", ".join(parts))
        if interrupted:
            _note("hint: the same command with --resume goes on")
        elif self.count["exists"]:
            _note(
                "hint: --overwrite makes existing outputs anew, "
                "--resume leaves those of an earlier run"
            )

    def foresee(self, forecast: "Forecast") -> None:
        """What the run would take."""
        if self._as_json:
            typer.echo(json.dumps({"forecast": asdict(forecast)}))
            return
        memory = forecast.peak_memory_bytes
        self._line(
            f"{counted(forecast.pictures, 'picture')}, {forecast.megapixels_in:.2f} MP -> "
            f"{forecast.megapixels_out:.2f} MP, {counted(forecast.tiles, 'tile')}: about "
            f"{_duration(forecast.seconds)}"
            + (f" and {memory / 1e6:.0f} MB of memory" if memory else "")
            + f" on {forecast.device}, {forecast.dtype}"
        )

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(shown(text), markup=False, highlight=False)
        else:
            typer.echo(shown(text))


def _line(record: "Record") -> str:
    notes = "".join(f"  ({note})" for note in record.notes)
    cost = f"  {record.seconds:.1f} s  {counted(record.tiles, 'tile')}"
    return (
        f"{record.path}  {record.width}x{record.height} -> "
        f"{record.output_width}x{record.output_height}"
        f"{cost if record.status == 'done' else ''}  {record.output}{notes}"
    )


def _duration(seconds: float) -> str:
    """``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, minutes_ = divmod(minutes, 60)
    return f"{minutes} min {rest} s" if hours < 1 else f"{hours} h {minutes_} min"


def _note(text: str) -> None:
    """A line on standard error."""
    typer.echo(shown(text), err=True)
