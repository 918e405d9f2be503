"""Feature networks with their published weights: the one file of this rung that reads files.

Trunks come from the user's cache (`hfdiff weights get`), LPIPS heads from the package.
"""

from pathlib import Path

import torch
from torch import Tensor

from hfdiff.core.fetch import read_stored
from hfdiff.core.weights import load_strictly, read_weights
from hfdiff.nn.features import ALEXNET, VGG16, Lpips, Pool, Trunk, TrunkConfig

_HEADS = Path(__file__).parent / "data" / "lpips_heads.safetensors"
_HEAD_NAMES = {ALEXNET.name: "alex", VGG16.name: "vgg"}


def load_trunk(config: TrunkConfig, *, stages: int = 5, pool: Pool | None = None) -> Trunk:
    """The first stages of VGG16 or AlexNet with ImageNet weights, frozen, on the CPU.

    Raises:
        CheckpointError: when the weights are not on this machine, with the command that gets them.
    """
    trunk = Trunk(config, stages=stages, pool=pool)
    load_strictly(trunk, _built(trunk, read_stored(config.name)), f"the stored {config.name}")
    return trunk


def load_lpips(
    config: TrunkConfig, *, stages: int = 5, dtype: torch.dtype = torch.float32
) -> Lpips:
    """LPIPS v0.1 on VGG16 or AlexNet, frozen, on the CPU.

    Raises:
        CheckpointError: when the trunk's weights are not on this machine, as `load_trunk`.
    """
    network = Lpips(config, stages=stages, dtype=dtype)
    trunk = _built(network.trunk, read_stored(config.name))
    tensors = {f"trunk.{key}": tensor for key, tensor in trunk.items()}
    heads = read_weights(_HEADS)[0]
    for stage in range(stages):
        tensors[f"heads.{stage}"] = heads[f"{_HEAD_NAMES[config.name]}.{stage}"]
    load_strictly(network, tensors, f"the stored {config.name}")
    return network


def _built(trunk: Trunk, stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Only the tensors of the stages that were built."""
    wanted = trunk.state_dict().keys()
    return {key: tensor for key, tensor in stored.items() if key in wanted}
