"""Other people's weight files as plain tensors; nothing in them is executed."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hfdiff.core.errors import CheckpointError
from hfdiff.core.weights import read_weights

# A training run's file keeps its weights one level down, under one of these.
WRAPPERS = ("state_dict", "model", "teacher")


def read_plain_tensors(path: Path) -> dict[str, Tensor]:
    """Named weights of a .safetensors file or of a torch file (.pth, .pt, .bin) on the CPU.

    Raises:
        CheckpointError: when it cannot be read as plain tensors.
    """
    if path.suffix == ".safetensors":
        return read_weights(path)[0]
    if not path.is_file():
        raise CheckpointError(f"weight file {path} does not exist")
    return read_torch(path.read_bytes(), str(path))


def read_torch(content: bytes, where: str = "the weight file") -> dict[str, Tensor]:
    """Named weights of a torch file, read with weights_only, on the CPU.

    Raises:
        CheckpointError: when it cannot be read as plain tensors.
    """
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)  # noqa: TID251  (plain tensors)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise CheckpointError(f"{where} cannot be read as a file of plain tensors") from error
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{where} holds a {type(loaded).__name__}, not named weights")
    inner = next((loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), loaded)
    return {str(key): t for key, t in inner.items() if isinstance(t, Tensor)}


def read_arrays(content: bytes, scope: str, layers: tuple[int, ...]) -> dict[str, Tensor]:
    """Convolutions of a pickle of numpy arrays, in torchvision's names and layout.

    Args:
        content: The pickle.
        scope: Key of the network; below it ``Conv_i`` with ``kernel`` and ``bias``.
        layers: For each ``Conv_i`` the number of the layer in torchvision's ``features``.

    Raises:
        CheckpointError: when it asks for more than arrays.
    """
    network = _ArrayReader(io.BytesIO(content)).load()[scope]
    tensors = {}
    for index, layer in enumerate(layers):
        convolution = network[f"Conv_{index}"]
        # Height, width, in, out there; out, in, height, width here.
        kernel = np.ascontiguousarray(np.transpose(convolution["kernel"], (3, 2, 0, 1)))
        tensors[f"features.{layer}.weight"] = torch.from_numpy(kernel)
        tensors[f"features.{layer}.bias"] = torch.from_numpy(np.array(convolution["bias"]))
    return tensors


class _ArrayReader(pickle.Unpickler):
    """Reads pickles of dicts, strings and numpy arrays; anything else is refused."""

    # numpy moved this function between its first and second version; an array knows where it is.
    _admitted: ClassVar[Mapping[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """The few names that an array needs."""
        if (module, name) not in self._admitted:
            raise CheckpointError(f"the weight file asks for {module}.{name}, which is no array")
        return self._admitted[module, name]
