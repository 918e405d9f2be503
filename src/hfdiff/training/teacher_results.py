"""Asking the teacher once about every sample of a fixed set, before the first step (spec 5.2)."""

import logging
import time
from pathlib import Path
from typing import Any

import torch

from hfdiff.core.settings import plain
from hfdiff.data.batches import PairBatches
from hfdiff.data.pictures import PictureSet
from hfdiff.data.stored import CHUNK, StoredBatches
from hfdiff.training.log import duration
from hfdiff.training.loop import Trainer
from hfdiff.training.stages.distill import DistillSettings

_log = logging.getLogger(__name__)
FOLDER = "teacher_results"
_NO_MATTER = ("workers", "in_memory", "validation")  # of the data's settings, to a sample
_SAID_EVERY = 30.0  # seconds


def distill_batches(pictures: PictureSet, settings: DistillSettings, **shares: int) -> PairBatches:
    """Batches of new samples, or those of the fixed set where the settings have one."""
    if not settings.stored_samples:
        return PairBatches(pictures, settings.data, **shares)
    folder = Path(settings.stored_folder or Path(settings.out) / FOLDER)
    return StoredBatches(
        pictures, settings.data, folder=folder, count=settings.stored_samples, **shares
    )


def store_missing(trainer: Trainer, batches: PairBatches) -> None:
    """Ask the teacher about every sample that is not stored yet; each process takes its share.

    Raises:
        SettingsError: when the folder holds results of another teacher, or of other data.
    """
    if not isinstance(batches, StoredBatches):
        return
    stage: Any = trainer.stage
    accelerator, settings = trainer.accelerator, trainer.settings
    data = {k: v for k, v in plain(settings.data).items() if k not in _NO_MATTER}
    about = {**stage.answers_depend_on(), "data": data, "seed": settings.seed}
    if accelerator.is_main_process:
        batches.check({**about, "stored_samples": batches.count})
    accelerator.wait_for_everyone()
    missing = batches.missing()[accelerator.process_index :: accelerator.num_processes]
    said = begin = time.monotonic()
    for done, chunk in enumerate(missing, start=1):
        _store(trainer, batches, chunk)
        if time.monotonic() - said > _SAID_EVERY:
            said = time.monotonic()
            left = duration((said - begin) / done * (len(missing) - done))
            _log.info("teacher results: %d of %d  %s left", done * CHUNK, batches.count, left)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        _log.info("teacher results: %d in %s", batches.count, batches.folder)


@torch.no_grad()
def _store(trainer: Trainer, batches: StoredBatches, chunk: int) -> None:
    stage: Any = trainer.stage
    pairs = batches.pairs_of(chunk).to(trainer.accelerator.device)
    noise = batches.noise_of(chunk, len(pairs), stage.latent_shape(pairs))
    with trainer.accelerator.autocast():
        inputs = stage.inputs(pairs, noise=noise.to(trainer.accelerator.device))
        batches.keep(chunk, pairs, inputs.x_0_teacher)
