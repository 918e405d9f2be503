"""From a stage's name, a preset and overrides to a finished run."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hfdiff.core.errors import SettingsError
from hfdiff.core.rng import derive
from hfdiff.core.settings import overridden, read_yaml, validate
from hfdiff.data.batches import PairBatches, validation_pairs
from hfdiff.data.pictures import PictureSet
from hfdiff.training.loop import Trainer, make_accelerator
from hfdiff.training.presets import PRESETS
from hfdiff.training.settings import RunSettings
from hfdiff.training.table import STAGES

_log = logging.getLogger(__name__)


def resolve(
    stage: str, preset: str | None, config: Path | None, overrides: list[str]
) -> RunSettings:
    """Settings of a run: the stage's defaults, then a preset, a YAML file, and key=value pairs.

    Raises:
        SettingsError: for unknown stages, presets and keys, and for values that do not fit.
    """
    if stage not in STAGES:
        raise SettingsError(f"stage must be one of {', '.join(STAGES)}, got {stage}")
    known = PRESETS[stage]
    if preset is not None and preset not in known:
        raise SettingsError(f"preset must be one of {', '.join(known)}, got {preset}")
    values: dict[str, Any] = dict(known[preset]) if preset is not None else {}
    if config is not None:
        values = merged(values, read_yaml(config) or {})
    values = overridden(values, overrides)
    return validate(values, STAGES[stage].settings, str(config or "configuration"))


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings laid over each other; a part of another ``kind`` replaces the whole part."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            same = old.get("kind") == value.get("kind", old.get("kind"))
            result[key] = merged(old, value) if same else value
        else:
            result[key] = value
    return result


def train(stage: str, settings: RunSettings, *, device: str = "auto", resume: bool = False) -> Path:
    """Run a stage; returns its model file.

    Raises:
        SettingsError: when something that the run needs is not named.
    """
    if not settings.out:
        raise SettingsError("out: a run needs a folder", hint="add out=runs/NAME")
    if not settings.data.root:
        raise SettingsError("data.root: a run needs pictures", hint="add data.root=[FOLDER]")
    checkpoints = Path(settings.out) / "checkpoints"
    if not resume and any(checkpoints.glob("step-*")):
        raise SettingsError(
            f"{settings.out} holds a run already", hint="use --resume, or another out"
        )
    accelerator = make_accelerator(settings.precision, device)
    pictures = PictureSet(
        settings.data.root, least_side=settings.data.gt_size, in_memory=settings.data.in_memory
    )
    _log.info("%d pictures, %d left out", len(pictures), len(pictures.skipped))
    pairs = []
    if settings.data.validation:
        limit = settings.validation_pictures
        pairs = validation_pairs(settings.data.validation, settings.data, limit=limit)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(settings.seed, "weights"))
        built = STAGES[stage].build(settings, pairs)
    batches = PairBatches(
        pictures,
        settings.data,
        seed=settings.seed,
        batch=settings.batch,
        rank=accelerator.process_index,
        ranks=accelerator.num_processes,
    )
    return Trainer(built, accelerator).run(batches, resume=resume)
