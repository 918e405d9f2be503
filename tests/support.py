"""What several test files share: where recorded reference values are, and small pictures."""

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)

ROOT = Path(__file__).resolve().parents[1]
COPIED = Path(__file__).parent / "fixtures" / "reference"
SHARED = ROOT.parent / "shared"


def reference(name: str) -> Path:
    """A file of recorded values of the published code: the copy in the tests, else beside us."""
    for folder in (COPIED, SHARED / "fixtures" / "reference"):
        if (folder / name).is_file():
            return folder / name
    pytest.skip(f"recorded values {name} are neither in tests/fixtures/reference nor in shared")


def shared(name: str) -> Path:
    """A file or folder of the pages beside the checkout; the test skips where they are not."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not beside this checkout")
    return path


# The weight and input recipe of the recorded values (fixtures/reference/README.md, part 1).


def normal(name: str, shape: Sequence[int]) -> Tensor:
    """N(name, shape): standard normal numbers that follow from a name alone; float32."""
    return torch.from_numpy(_normal64(name, shape).astype(np.float32))


def picture(name: str, shape: Sequence[int]) -> Tensor:
    """T(name, shape): a picture in (-1, 1) that follows from a name alone; float32."""
    return torch.from_numpy(np.tanh(0.7 * _normal64(name, shape)).astype(np.float32))


def recipe_tensor(key: str, shape: Sequence[int], prefix: str = "") -> Tensor:
    """The recipe's weight for a state-dict key, drawn under the name ``prefix + key``."""
    x = _normal64(prefix + key, shape)
    if key.endswith("relative_position_bias_table"):
        x = 0.5 * x
    elif len(shape) >= 2:
        x = x / math.sqrt(math.prod(shape[1:]))
    elif key.endswith("weight"):
        x = 1 + 0.1 * x
    else:
        x = 0.1 * x
    return torch.from_numpy(x.astype(np.float32))


def fill_by_recipe(module: M, prefix: str = "") -> M:
    """Give every parameter of a network its recipe weight; frozen and in eval mode afterwards."""
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            parameter.copy_(recipe_tensor(key, parameter.shape, prefix))
    return module.requires_grad_(False).eval()


def _normal64(name: str, shape: Sequence[int]) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return generator.standard_normal(tuple(shape))
