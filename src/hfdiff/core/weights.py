"""Weights on disk: safetensors with a description inside, written whole or not at all."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hfdiff.core.errors import CheckpointError, some_of
from hfdiff.core.files import replacing
from hfdiff.core.weight_notes import read_metadata


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a .safetensors file (on the CPU) and its metadata; runs no code.

    Raises:
        CheckpointError: when the file is missing, cut off, or not safetensors.
    """
    metadata = read_metadata(path)
    with safe_open(path, framework="pt") as archive:
        tensors = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118  (no iterator)
    return tensors, metadata


def write_weights(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata to ``path``, whole or not at all."""
    plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with replacing(path) as scratch:
        save_file(plain, scratch, metadata=dict(metadata))


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key].detach().cpu().contiguous()
        digest.update(json.dumps([key, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Put tensors into a network; every key must be used, present and of the right shape.

    Raises:
        CheckpointError: naming missing and unexpected keys, or the first wrong shape.
    """
    expected = network.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - expected.keys())
    if missing:
        raise CheckpointError(f"{where} lacks the tensors {some_of(missing)}")
    if unexpected:
        raise CheckpointError(f"{where} has tensors that nothing uses: {some_of(unexpected)}")
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape:
            want, came = list(expected[key].shape), list(tensor.shape)
            raise CheckpointError(f"{where}: {key} must have the shape {want}, got {came}")
    network.load_state_dict(dict(tensors))
