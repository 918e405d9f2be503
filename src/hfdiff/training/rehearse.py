"""``--rehearse``: every part of a stage on its real configuration, before the hours are spent.

Data, steps, each term's gradient, a checkpoint, going on from it, validation and export run once or
a few times in ``rehearsal`` below the run's folder; what they took becomes a forecast.
"""

import contextlib
import gc
import json
import logging
import math
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hfdiff.core.errors import SettingsError
from hfdiff.core.files import replacing
from hfdiff.data.batches import Batch
from hfdiff.imaging.files import write_picture
from hfdiff.imaging.picture import Picture
from hfdiff.imaging.pixels import clamped_01_from_pm1, samples_from_01
from hfdiff.training import loop
from hfdiff.training.ceiling import say_ceiling
from hfdiff.training.log import duration
from hfdiff.training.loop import Trainer
from hfdiff.training.run import Ready, build, check_named, prepare
from hfdiff.training.settings import RunSettings
from hfdiff.training.stages.distill import DistillSettings

FOLDER = "rehearsal"
_SHOWN = 6  # pairs on the sheet
_MOST_STEPS = 50


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a rehearsal measured, and what the whole run will take at that.

    Attributes:
        steps: Steps that were rehearsed, one checkpoint and one resumption between them.
        batch: Samples of each; less than the run's where it takes micro-batches.
        seconds: By part: ``data`` (a batch, prepared by one process), ``step`` (of the whole
            batch), ``validation``, ``checkpoint``, ``export``, and for each phase ``forward`` and
            every term's gradient, on one micro-batch.
        hours: Of all steps, with checkpoints and validations.
        memory_bytes: Most that this process held, on the GPU where there is one.
        memory_of_bytes: How much there is.
        worker_bytes: Most that a process preparing data held; 0: there was none.
        checkpoint_bytes: Of one.
        disk_bytes: Of all that are kept, and the one being written.
    """

    steps: int
    batch: int
    seconds: Mapping[str, float]
    hours: float
    memory_bytes: int
    memory_of_bytes: int
    worker_bytes: int
    checkpoint_bytes: int
    disk_bytes: int

    def lines(self) -> Iterator[str]:
        """For people."""
        for name, seconds in self.seconds.items():
            yield f"{name:<40}  {seconds:.3g} s"
        memory = f"{_size(self.memory_bytes)} of {_size(self.memory_of_bytes)}"
        workers = f", and {_size(self.worker_bytes)} a worker" if self.worker_bytes else ""
        yield f"{'memory':<40}  {memory}{workers}"
        yield f"{'disk for checkpoints':<40}  {_size(self.disk_bytes)}"
        yield f"{'the whole run':<40}  {duration(self.hours * 3600)}"


def rehearse(
    stage: str, settings: RunSettings, *, device: str = "auto", seconds: float = 120.0
) -> Forecast:
    """Rehearse a stage; the forecast is also written to ``rehearsal/forecast.json`` below ``out``.

    Beside it lie a sheet of training pairs and what validation draws. A run in ``out`` stays as it
    is. With micro-batches a step is rehearsed on one of them, which needs the same memory. Stored
    teacher results are not made or used: the forecast has the teacher in every step.

    Args:
        stage: Its name.
        settings: Of the run.
        device: ``auto`` or ``cpu``.
        seconds: About how long; a part that takes longer runs once all the same.

    Raises:
        SettingsError: as `hfdiff.training.run.train`, and with several processes.
    """
    check_named(settings, resume=True)
    folder = Path(settings.out) / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    small = replace(
        settings,
        out=str(folder),
        iterations=1,
        batch=min(settings.batch, settings.micro_batch or settings.batch),
        norms_every=0,
        checkpoint_every=0,
        validate_every=min(1, settings.validate_every),
        keep=1,
        tensorboard=False,
    )
    if isinstance(small, DistillSettings):
        small = replace(small, stored_samples=0)  # else all of them would be computed first
    ready = prepare(stage, small, device, whole=settings)
    if ready.accelerator.num_processes > 1:
        raise SettingsError("a rehearsal runs on one process: leave the launcher out")
    taken = {"data": _data_seconds(ready, folder)}
    try:
        trainer, steps = _train(stage, small, ready, budget=seconds / 2)
        taken["step"] = trainer.seconds_per_step * settings.batch / small.batch
        taken |= trainer.seconds
        taken |= _term_seconds(trainer, ready.batches[0])
        forecast = _forecast(settings, small, taken, steps, ready.accelerator.device)
    finally:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        for name in (loop.MODEL, loop.BEST):
            (folder / name).unlink(missing_ok=True)
    with replacing(folder / "forecast.json") as scratch:
        scratch.write_text(json.dumps(asdict(forecast), indent=2) + "\n", encoding="utf-8")
    return forecast


def _data_seconds(ready: Ready, folder: Path) -> float:
    """What one process needs for a batch; the first ones go to a sheet."""
    begin = time.perf_counter()
    batches = [ready.batches[number] for number in range(2)]
    spent = (time.perf_counter() - begin) / len(batches)
    write_picture(Picture(samples=_sheet(batches[0])), folder / "pairs.png", "PNG")
    return spent


def _sheet(batch: Batch) -> np.ndarray:
    """The first pairs, lq over gt; lq pixels are shown as squares."""
    lq, gt = batch.lq_pm1[:_SHOWN], batch.gt_pm1[:_SHOWN]
    lq = F.interpolate(lq, size=gt.shape[-2:], mode="nearest")
    rows = [torch.cat(list(picture), dim=-1) for picture in (lq, gt)]
    return samples_from_01(clamped_01_from_pm1(torch.cat(rows, dim=-2)), np.dtype(np.uint8))


def _train(
    stage: str, settings: RunSettings, ready: Ready, *, budget: float
) -> tuple[Trainer, int]:
    """One step and a checkpoint, then as many more from it as the budget allows."""
    once = replace(settings, validate_every=0)
    trainer = Trainer(build(stage, once, ready.pairs), ready.accelerator)
    say_ceiling(trainer.stage, ready.batches, ready.accelerator.device)
    trainer.run(ready.batches)
    more = math.floor(budget / max(trainer.seconds_per_step, 1e-6))
    steps = 1 + min(max(more, 1), _MOST_STEPS)
    del trainer  # two of them would need twice the memory that is forecast
    gc.collect()
    rest = replace(settings, iterations=steps, validate_every=steps * settings.validate_every)
    trainer = Trainer(build(stage, rest, ready.pairs), ready.accelerator)
    with _unsaid():  # the same again, and that the number of steps is another
        trainer.run(ready.batches, resume=True)
    return trainer, steps


@contextlib.contextmanager
def _unsaid() -> Iterator[None]:
    logger = logging.getLogger(loop.__name__)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _term_seconds(trainer: Trainer, batch: Batch) -> dict[str, float]:
    """Forward pass of each phase and gradient of each term, on one micro-batch."""
    device = trainer.accelerator.device
    batch = batch.to(device)
    taken = {}
    for phase in trainer.stage.phases:
        for name, network in trainer.networks.items():
            network.requires_grad_(name in phase.networks)
        parameters = [p for p in trainer.networks.parameters() if p.requires_grad]
        begin = _now(device)
        terms = trainer.terms(0, phase, batch)
        taken[f"{phase.name}: forward"] = _now(device) - begin
        for name, term in terms.items():
            if term.requires_grad:
                taken[f"{phase.name}: gradient of {name}"] = _gradient_seconds(
                    term, parameters, device
                )
    return taken


def _gradient_seconds(term: Tensor, parameters: list[Any], device: torch.device) -> float:
    begin = _now(device)
    torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return _now(device) - begin


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _forecast(
    settings: RunSettings,
    small: RunSettings,
    taken: dict[str, float],
    steps: int,
    device: torch.device,
) -> Forecast:
    total = settings.iterations * taken["step"]
    total += _times(settings.iterations, settings.checkpoint_every) * taken["checkpoint"]
    total += _times(settings.iterations, settings.validate_every) * taken.get("validation", 0.0)
    (checkpoint,) = (Path(small.out) / "checkpoints").glob("step-*")
    size = checkpoint.stat().st_size
    held, there = _memory(device)
    return Forecast(
        steps=steps,
        batch=small.batch,
        seconds=taken,
        hours=total / 3600,
        memory_bytes=held,
        memory_of_bytes=there,
        worker_bytes=_peak(resource.RUSAGE_CHILDREN) if settings.data.workers else 0,
        checkpoint_bytes=size,
        disk_bytes=size * (settings.keep + 1),
    )


def _times(steps: int, every: int) -> int:
    return steps // every if every else 0


def _memory(device: torch.device) -> tuple[int, int]:
    """Most memory that this process held, and how much there is."""
    if device.type == "cuda":
        there = torch.cuda.get_device_properties(device).total_memory
        return torch.cuda.max_memory_reserved(device), there
    return _peak(resource.RUSAGE_SELF), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _peak(who: int) -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
