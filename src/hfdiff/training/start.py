"""What is said, checked and written down before the first step."""

import datetime
import hashlib
import json
import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from hfdiff.core.errors import ResourceError
from hfdiff.core.files import replacing, sha256_of
from hfdiff.core.settings import plain, to_yaml
from hfdiff.data.pictures import PictureSet
from hfdiff.training.settings import RunSettings
from hfdiff.training.stage import Stage

ENVIRONMENT = "environment.json"
_PACKAGES = ("hfdiff", "torch", "numpy", "accelerate", "safetensors", "pillow")
# Settings that name a model file which a resumed run reads again.
_MODEL_FILES = {"start", "teacher", "features.extractor", "features.dino"}
_log = logging.getLogger(__name__)


def check_room(folder: Path, needed: int) -> None:
    """Refuse to begin where the checkpoints will not fit.

    Args:
        folder: Of the run; it exists.
        needed: Bytes of all that are kept, and the one being written.

    Raises:
        ResourceError: naming what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResourceError(
            f"checkpoints need {needed / 2**20:.0f} MiB below {folder}, "
            f"{free / 2**20:.0f} are free",
            hint="make room, choose another out, or keep fewer",
        )


def report(stage: Stage, processes: int) -> Iterator[str]:
    """Lines for people: what is trained, on how much, and with which terms."""
    settings = stage.settings
    for name, network in stage.networks().items():
        yield f"trains {name}: {_count(network) / 1e6:.2f} M parameters"
    weights = stage.weights().items()
    yield "terms " + ", ".join(f"{weight:g} {name}" for name, weight in weights)
    share = settings.batch // processes
    parts = -(-share // (settings.micro_batch or share))
    yield (
        f"{settings.iterations} steps of {settings.batch} samples: {processes} process(es) of "
        f"{share}, each in {parts} part(s)"
    )


def say_pictures(pictures: PictureSet, settings: RunSettings) -> None:
    """Say what was found, what is left out, and how often each picture will be seen."""
    for number, line in enumerate(pictures.report()):
        _log.log(logging.WARNING if number else logging.INFO, "data: %s", line)
    used = min(len(pictures), settings.data.limit or len(pictures))
    if used < len(pictures):
        _log.info("data: limited to %d of them", used)
    _log.info("data: each is seen %.1f times", settings.iterations * settings.batch / used)


def write_environment(
    folder: Path, step: int, settings: RunSettings, device: torch.device, processes: int
) -> None:
    """Add this start to the run's environment.json: versions, machine, threads, source.

    Model files whose content is another than when the run began are said: it will not go on as it
    would have.
    """
    path = folder / ENVIRONMENT
    earlier = _earlier(path) if step else []
    files = _hashes(settings)
    for key, before in (earlier[0].get("files", {}) if earlier else {}).items():
        if files.get(key) not in (before, None):
            _log.warning("the file of %s has changed since the run began", key)
    this = {
        "step": step,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "device": _device_name(device),
        "processes": processes,
        "threads": torch.get_num_threads(),
        "precision": settings.precision,
        "git": _commit(),
        "files": files,
    }
    starts = [*earlier, this]
    with replacing(path) as scratch:
        scratch.write_text(json.dumps({"starts": starts}, indent=2) + "\n", encoding="utf-8")


def configuration_hash(settings: RunSettings) -> str:
    """SHA-256 of the complete settings, but for the run's folder, which may move."""
    return hashlib.sha256(to_yaml(replace(settings, out="")).encode()).hexdigest()


def changes(before: str, settings: RunSettings) -> list[str]:
    """How the settings differ from a checkpoint's (YAML), one line a key; its folder may move."""
    old, new = dict(_flat(yaml.safe_load(before) or {})), dict(_flat(plain(settings)))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key) and key != "out"]
    return [f"{key} is {new.get(key)!r}, was {old.get(key)!r}" for key in keys]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _hashes(settings: RunSettings) -> dict[str, str]:
    """SHA-256 of the model files that the settings name, by key."""
    named = ((key, value) for key, value in _flat(plain(settings)) if key in _MODEL_FILES)
    return {key: sha256_of(Path(file)) for key, file in named if file and Path(file).is_file()}


def _earlier(path: Path) -> list[Any]:
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["starts"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _commit() -> str | None:
    """Commit of the checkout that this package runs from; None where it is installed."""
    if not _git("ls-files", "--error-unmatch", Path(__file__).name):
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=40") or None


def _git(*arguments: str) -> str:
    """What git says about this file's folder; an empty text where it has nothing to say."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
