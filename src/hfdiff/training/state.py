"""Checkpoints: everything a run is, in one safetensors file, whole or not there.

Data position, learning rate and every generator follow from the seed and the step number, so
weights, averages and optimiser moments are all that has to be kept.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hfdiff.core.errors import CheckpointError
from hfdiff.core.weights import content_hash, load_strictly, read_weights, write_weights

_log = logging.getLogger(__name__)
_NAME = "step-{:08d}.safetensors"
_ALL = "step-*.safetensors"
_UNFINISHED = ".hfdiff-*.safetensors"  # what a killed write leaves behind


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What a checkpoint says besides its tensors.

    Attributes:
        step: Steps that were done; 0 where there was no checkpoint.
        settings: The run's settings when it was written, as YAML.
    """

    step: int = 0
    settings: str = ""


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
    for old in sorted(folder.glob(_ALL))[:-keep]:
        old.unlink()
    return path


def load_newest(
    folder: Path,
    modules: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
) -> Restored:
    """Restore the newest whole checkpoint; torn or damaged ones are passed over and said.

    Raises:
        CheckpointError: when checkpoints are there and none can be used, or they belong to other
            networks.
    """
    paths = sorted(folder.glob(_ALL), reverse=True)
    for path in paths:
        try:
            tensors, restored = _read(path)
        except CheckpointError as error:
            _log.warning("checkpoint passed over: %s", error)
            continue
        for name, module in modules.items():
            load_strictly(module, _below(tensors, name), f"{path} ({name})")
        for name, optimiser in optimisers.items():
            _restore(optimiser, _below(tensors, f"optimiser/{name}"), f"{path} (optimiser {name})")
        return restored
    if paths:
        raise CheckpointError(f"none of the {len(paths)} checkpoints in {folder} is whole")
    return Restored()


def tidy(folder: Path, step: int) -> None:
    """Clear what would be in the way of going on after ``step``.

    Unfinished writes are removed, and damaged checkpoints behind the one that was loaded renamed:
    they would count among those that are kept.
    """
    for path in sorted(folder.glob(_UNFINISHED)):
        _log.warning("removed %s, a checkpoint whose writing was cut off", path)
        path.unlink()
    for path in sorted(folder.glob(_ALL)):
        if path.name > _NAME.format(step):
            path.replace(path.with_name(f"damaged-{path.name}"))


def _read(path: Path) -> tuple[dict[str, Tensor], Restored]:
    tensors, metadata = read_weights(path)
    try:
        document = json.loads(metadata["hfdiff_checkpoint"])
        stated, step, settings = document["hash"], int(document["step"]), document["settings"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is no training checkpoint of hfdiff") from error
    if stated != content_hash(tensors):
        raise CheckpointError(f"{path} is damaged: the hash of its content is not the stated one")
    return tensors, Restored(step=step, settings=settings)


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


def _restore(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], where: str) -> None:
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition("/")
        if int(index) >= len(parameters):
            raise CheckpointError(f"{where} has moments for more than {len(parameters)} tensors")
        moment = tensor
        if tensor.ndim:
            like = parameters[int(index)]
            if tensor.shape != like.shape:
                want, came = list(like.shape), list(tensor.shape)
                raise CheckpointError(f"{where}: {key} must have the shape {want}, got {came}")
            # In the parameter's own layout, as in an undisturbed run: the same kernels compute.
            moment = torch.empty_like(like, requires_grad=False).copy_(tensor)
        state.setdefault(int(index), {})[name] = moment
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
