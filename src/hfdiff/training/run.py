"""From a stage's name, a preset and overrides to a finished run."""

import logging
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch

from hfdiff.core.errors import SettingsError
from hfdiff.core.rng import derive
from hfdiff.core.settings import overridden, read_yaml, validate
from hfdiff.data.batches import PairBatches
from hfdiff.data.validation import Pair, validation_pairs
from hfdiff.training import start
from hfdiff.training.ceiling import say_ceiling
from hfdiff.training.loop import Trainer, make_accelerator
from hfdiff.training.presets import PRESETS
from hfdiff.training.settings import RunSettings
from hfdiff.training.stage import Stage
from hfdiff.training.table import STAGES
from hfdiff.training.validation import load_metrics

_log = logging.getLogger(__name__)


def resolve(
    stage: str, preset: str | None, config: Path | None, overrides: list[str]
) -> RunSettings:
    """Settings of a run: the stage's defaults, then a preset, a YAML file, and key=value pairs.

    Raises:
        SettingsError: for unknown stages, presets and keys, and for values that do not fit; it
            names the file or the pair that the fault is in.
    """
    if stage not in STAGES:
        raise SettingsError(f"stage must be one of {', '.join(STAGES)}, got {stage}")
    known, kind = PRESETS[stage], STAGES[stage].settings
    if preset is not None and preset not in known:
        raise SettingsError(f"preset must be one of {', '.join(known)}, got {preset}")
    layers = [(f"preset {preset}", dict(known.get(preset or "", {})))]
    if config is not None:
        layers.append((str(config), merged(layers[-1][1], _read_settings(config))))
    below = layers[-1][1]
    for count, override in enumerate(overrides, start=1):
        layers.append((override, merged(below, overridden({}, overrides[:count]))))
    try:
        return validate(with_kinds(layers[-1][1], kind), kind, layers[-1][0])
    except SettingsError:
        for where, values in layers:  # the first that does not fit is the one to name
            validate(with_kinds(values, kind), kind, where)
        raise


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


def with_kinds(values: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Values in which a part that does not name its ``kind`` has that of the default."""
    result = dict(values)
    for one in fields(kind):
        part = result.get(one.name)
        if one.default_factory is MISSING or not isinstance(part, Mapping):
            continue
        default = one.default_factory()
        if is_dataclass(default) and not isinstance(default, type):
            named = {"kind": default.kind} if hasattr(default, "kind") else {}
            result[one.name] = {**named, **with_kinds(part, type(default))}
    return result


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What a run needs besides its stage.

    Attributes:
        accelerator: Devices and processes, as `make_accelerator` gives them.
        pairs: To validate on; on the first process only.
        batches: To train on; this process's share.
    """

    accelerator: Any
    pairs: list[Pair]
    batches: PairBatches


def train(stage: str, settings: RunSettings, *, device: str = "auto", resume: bool = False) -> Path:
    """Run a stage; returns its model file.

    Raises:
        SettingsError: when something that the run needs is not named or contradicts itself.
        CheckpointError: for a start, a checkpoint or frozen weights that cannot be used.
        StoppedError, NotFiniteError, ResourceError: see `Trainer.run`.
    """
    check_named(settings, resume=resume)
    ready = prepare(stage, settings, device)
    trainer = Trainer(build(stage, settings, ready.pairs), ready.accelerator)
    if ready.accelerator.is_main_process:
        say_ceiling(trainer.stage, ready.batches, ready.accelerator.device)
    begin = STAGES[stage].begin
    if begin is not None:
        begin(trainer, ready.batches)
    return trainer.run(ready.batches, resume=resume)


def prepare(
    stage: str, settings: RunSettings, device: str, *, whole: RunSettings | None = None
) -> Ready:
    """Find the devices, read the pictures, and say what was found; raises as `train` does.

    Args:
        stage: Its name.
        settings: Of the run.
        device: ``auto`` or ``cpu``.
        whole: Of the run that this is a rehearsal of, for what is said.
    """
    accelerator = make_accelerator(settings.precision, device)
    pictures = settings.data.pictures()
    if accelerator.is_main_process:
        start.say_pictures(pictures, whole or settings)
    spec = STAGES[stage]
    measures = spec.takes_pairs and accelerator.is_main_process
    batches = spec.batches(
        pictures,
        settings,
        seed=settings.seed,
        batch=settings.batch,
        rank=accelerator.process_index,
        ranks=accelerator.num_processes,
    )
    pairs = _validation(settings) if measures else []
    return Ready(accelerator=accelerator, pairs=pairs, batches=batches)


def build(stage: str, settings: RunSettings, pairs: list[Pair]) -> Stage:
    """A stage with fresh weights, which follow from the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(settings.seed, "weights"))
        return STAGES[stage].build(settings, pairs)


def check_named(settings: RunSettings, *, resume: bool) -> None:
    """Refuse a run without a place or pictures, or over another.

    Raises:
        SettingsError: naming what is missing.
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


def _validation(settings: RunSettings) -> list[Pair]:
    """Pairs to validate on; what measures them is loaded now, not after the first hours."""
    if not (settings.data.validation and settings.validate_every):
        return []
    load_metrics()
    limit = settings.validation_pictures
    pairs = validation_pairs(settings.data.validation, settings.data, limit=limit)
    _log.info("validates on %d pictures", len(pairs))
    return pairs


def _read_settings(path: Path) -> Mapping[str, Any]:
    values = read_yaml(path) or {}
    if not isinstance(values, Mapping):
        raise SettingsError(f"{path} must hold settings as key: value")
    return values
