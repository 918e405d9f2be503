"""Checkpoints: everything a run is, in one safetensors file, whole or not there.

Data position, learning rate and every generator follow from the seed and the step number, so
weights, averages and optimiser moments are all that has to be kept.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hfdiff.core.errors import CheckpointError
from hfdiff.core.weights import content_hash, load_strictly, read_weights, write_weights

_log = logging.getLogger(__name__)
_NAME = "step-{:08d}.safetensors"


def save_checkpoint(
    folder: Path,
    step: int,
    modules: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
    *,
    keep: int,
    settings: str,
) -> Path:
    """Write the state after ``step`` steps and remove all but the newest ``keep``."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{name}/{key}": tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    for name, optimiser in optimisers.items():
        tensors |= _flat(f"optimiser/{name}", optimiser)
    document = {"step": step, "hash": content_hash(tensors), "settings": settings}
    path = folder / _NAME.format(step)
    write_weights(path, tensors, {"hfdiff_checkpoint": json.dumps(document)})
    for old in sorted(folder.glob("step-*.safetensors"))[:-keep]:
        old.unlink()
    return path


def load_newest(
    folder: Path,
    modules: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
) -> int:
    """Restore the newest whole checkpoint; torn or damaged ones are passed over and said.

    Returns:
        The number of steps that were done; 0 where there is no checkpoint.

    Raises:
        CheckpointError: when checkpoints are there and none can be used.
    """
    paths = sorted(folder.glob("step-*.safetensors"), reverse=True)
    for path in paths:
        try:
            tensors, document = _read(path)
        except CheckpointError as error:
            _log.warning("checkpoint passed over: %s", error)
            continue
        for name, module in modules.items():
            load_strictly(module, _below(tensors, name), f"{path} ({name})")
        for name, optimiser in optimisers.items():
            _restore(optimiser, _below(tensors, f"optimiser/{name}"))
        return int(document["step"])
    if paths:
        raise CheckpointError(f"none of the {len(paths)} checkpoints in {folder} is whole")
    return 0


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, metadata = read_weights(path)
    document = json.loads(metadata.get("hfdiff_checkpoint", "{}"))
    if document.get("hash") != content_hash(tensors):
        raise CheckpointError(f"{path} is damaged: the hash of its content is not the stated one")
    return tensors, document


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = prefix + "/"
    return {key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)}


def _flat(prefix: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    return {
        f"{prefix}/{index}/{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
    }


def _restore(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
