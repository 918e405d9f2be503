"""Do what the plan says, picture by picture; one bad picture never stops the rest."""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hfdiff.core.devices import release_memory
from hfdiff.core.errors import ImageError
from hfdiff.imaging.files import read_notes, read_picture
from hfdiff.model.model_file import Description
from hfdiff.upscaling.cutting import check_cuts
from hfdiff.upscaling.ledger import LEDGER_NAME, Ledger, Verdict
from hfdiff.upscaling.names import Job
from hfdiff.upscaling.options import UpscaleOptions, Writing
from hfdiff.upscaling.outputs import copy_output, is_copied, made_by, write_enlarged, write_output
from hfdiff.upscaling.plan import Plan
from hfdiff.upscaling.reasons import reason_of
from hfdiff.upscaling.records import Record, Status, record_of, refused
from hfdiff.upscaling.upscaler import Upscaler

_log = logging.getLogger(__name__)
JobProgress = Callable[[Job, int, int], None]


def run_plan(
    plan: Plan,
    upscaler: Upscaler,
    options: UpscaleOptions,
    *,
    writing: Writing | None = None,
    on_progress: JobProgress | None = None,
) -> Iterator[Record]:
    """Refusals first, then every job as it is finished; options are checked at once.

    What another process on the same folder is at work on comes last: by then it is done, or that
    process has ended without.

    Args:
        plan: What to do.
        upscaler: The model at work.
        options: Size, seed, steps, tiling.
        writing: How outputs are encoded.
        on_progress: Called with (job, tiles done, tiles in all).

    Raises:
        SettingsError: where the options' tiles can work for none of the pictures.
    """
    check_cuts(plan.jobs, options, upscaler.model.config)
    return _settled(plan, _Run(plan, upscaler, options, writing or Writing(), on_progress))


def _settled(plan: Plan, run: "_Run") -> Iterator[Record]:
    yield from refused(plan)
    try:
        postponed = []
        for job in plan.jobs:
            record = run.settle(job, wait=False)
            if record is None:
                postponed.append(job)
            else:
                yield record
        for job in postponed:
            record = run.settle(job, wait=True)
            if record is not None:
                yield record
    finally:
        run.close()


def planned(
    plan: Plan, description: Description, dtype: str, options: UpscaleOptions, writing: Writing
) -> Iterator[tuple[Job, Record]]:
    """Every job of a dry run, and its record: ``planned``, or what an earlier run made of it.

    Raises:
        SettingsError: as `run_plan`, at once too.
    """
    check_cuts(plan.jobs, options, description.config)
    return _foreseen(plan, description, dtype, options, writing)


def _foreseen(
    plan: Plan, description: Description, dtype: str, options: UpscaleOptions, writing: Writing
) -> Iterator[tuple[Job, Record]]:
    for job in plan.jobs:
        status: Status = "planned"
        root = plan.root_of(job)
        if plan.naming.resume and job.target.is_file():
            status = "exists"
            if (root / LEDGER_NAME).is_file():
                ledger = Ledger(root)
                origin = made_by(job, description, dtype, options, writing)
                verdict = ledger.judge(job.source, job.target, origin)
                ledger.close()
                status = _FORESEEN[verdict]
        reason = f"{job.target} exists" if status == "exists" else ""
        told: tuple[str, ...] = ()
        try:
            if status == "planned":
                told = (_COPIED,) if is_copied(job, writing) else read_notes(job.source)
        except ImageError as error:  # its header could be read a moment ago
            status, reason = "failed", reason_of(error)
        yield job, record_of(job, status, reason=reason, notes=(*job.notes, *told))


_COPIED = "large enough already: copied"
_FORESEEN: dict[Verdict, Status] = {"made": "kept", "stale": "planned", "foreign": "exists"}


class _Run:
    """One run: the ledger of the folder at hand is kept open."""

    def __init__(
        self,
        plan: Plan,
        upscaler: Upscaler,
        options: UpscaleOptions,
        writing: Writing,
        on_progress: JobProgress | None,
    ) -> None:
        self._plan = plan
        self._upscaler = upscaler
        self._options = options
        self._writing = writing
        self._on_progress = on_progress
        self._ledger: Ledger | None = None

    def settle(self, job: Job, *, wait: bool) -> Record | None:
        """Do one job; None, without ``wait``, where another process is at work on it."""
        begin = time.perf_counter()
        try:
            ledger = self._ledger_for(job)
            if ledger is None:
                return self._do(job, None, begin)
            with ledger.claimed(job.target, wait=wait) as is_mine:
                return self._do(job, ledger, begin) if is_mine else None
        except Exception as error:  # noqa: BLE001  (one picture must never stop a folder)
            _log.debug("%s failed", job.source, exc_info=True)
            return record_of(job, "failed", reason=reason_of(error))
        finally:
            release_memory(self._upscaler.device)

    def close(self) -> None:
        """Let go of the ledger, and remove what killed runs left half written."""
        if self._ledger is not None:
            root = self._ledger.root
            jobs = [job for job in self._plan.jobs if self._plan.root_of(job) == root]
            self._ledger.close(folders={job.target.parent for job in jobs})
            self._ledger = None

    def _ledger_for(self, job: Job) -> Ledger | None:
        if not self._plan.is_remembered:
            return None
        root = self._plan.root_of(job)
        if self._ledger is None or self._ledger.root != root:
            self.close()
            self._ledger = Ledger(root)
        return self._ledger

    def _do(self, job: Job, ledger: Ledger | None, begin: float) -> Record:
        dtype = self._upscaler.dtype_name
        origin = made_by(job, self._upscaler.description, dtype, self._options, self._writing)
        if job.target.is_file() and not self._plan.naming.overwrite:
            verdict: Verdict = "foreign"
            if ledger is not None and self._plan.naming.resume:
                verdict = ledger.judge(job.source, job.target, origin)
            if verdict == "made":
                return record_of(job, "kept")
            if verdict == "foreign":
                return record_of(job, "exists", reason=f"{job.target} exists")

        def before(scratch: Path) -> None:
            if ledger is not None:
                ledger.note(job.source, job.target, origin, scratch=scratch)

        facts = self._make(job, before)
        return record_of(job, "done", seconds=time.perf_counter() - begin, **facts)

    def _make(self, job: Job, before: Callable[[Path], None]) -> dict[str, Any]:
        """Write the output; what its record says of it."""

        def report(done: int, total: int) -> None:
            if self._on_progress is not None:
                self._on_progress(job, done, total)

        source = read_picture(job.source)
        if is_copied(job, self._writing):
            copy_output(job, before=before)  # not without having read it: it might be broken
            return {"notes": (*job.notes, _COPIED)}
        account = write_output(
            job.target,
            lambda stream: write_enlarged(
                self._upscaler, source, stream, job.format, self._options, self._writing, report
            ),
            before=before,
        )
        return {
            "width": account.size[0],
            "height": account.size[1],
            "output_width": account.target_size[0],
            "output_height": account.target_size[1],
            "tiles": account.tiles,
            "tile": account.tile,
            "dtype": self._upscaler.dtype_name,
            "device": str(self._upscaler.device),
            "retries": account.retries,
            "notes": (*job.notes, *account.notes),
        }
