"""Feature networks with their published weights: the one file of this rung that reads files.

Trunks and stand-ins for DINOv2 come from the user's cache (`hfdiff weights get`), LPIPS heads from
the package, DINOv2 from the user.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from hfdiff.core.errors import CheckpointError, MissingExtraError, SettingsError
from hfdiff.core.fetch import WEIGHTS, read_stored
from hfdiff.core.files import sha256_of
from hfdiff.core.offline import is_offline
from hfdiff.core.weight_formats import read_plain_tensors
from hfdiff.core.weights import load_strictly, read_weights
from hfdiff.nn.dino import Backbone, PreparationConfig, dinov2, dinov2_name
from hfdiff.nn.efficientnet import efficientnet_lite0
from hfdiff.nn.features import ALEXNET, VGG16, Lpips, Pool, Trunk, TrunkConfig

_HEADS = Path(__file__).parent / "data" / "lpips_heads.safetensors"
_HEAD_NAMES = {ALEXNET.name: "alex", VGG16.name: "vgg"}
_FILES_IN_A_FOLDER = ("model.safetensors", "pytorch_model.bin")

# What may stand in for DINOv2, under its own name and never as DINOv2.
STAND_INS: Mapping[str, Callable[[Mapping[str, Tensor], str], nn.Module]] = {
    "dino_imgfocus": dinov2,
    "imagenet_lite0": efficientnet_lite0,
}


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


def load_backbone(source: str, preparation: PreparationConfig | None = None) -> Backbone:
    """The network in whose space js_dino compares pictures, frozen, on the CPU.

    Args:
        source: A file or folder with DINOv2 weights in any layout, a hub id such as
            ``facebook/dinov2-small``, or the name of a stand-in: ``dino_imgfocus`` (trials only),
            ``imagenet_lite0``.
        preparation: How pictures become its input.

    Raises:
        SettingsError: when ``source`` is empty.
        CheckpointError: when nothing is there, or something else than such a network.
        MissingExtraError: without transformers, or without the hub's client for a hub id.
    """
    preparation = preparation or PreparationConfig()
    if not source:
        stand_ins = " or ".join(STAND_INS)
        raise SettingsError(
            "js_dino needs a network: a file or folder with DINOv2 weights, a hub id, or a "
            f"stand-in under its own name ({stand_ins})"
        )
    if source in STAND_INS:
        return _stand_in(source, preparation)
    path = _weight_file(source)
    network = dinov2(read_plain_tensors(path), str(path))
    origin = (
        f"{dinov2_name(network)} from {path.name}, sha256 {sha256_of(path)}; DINOv2 is Apache-2.0"
    )
    return Backbone(network, preparation=preparation, origin=origin)


def _stand_in(name: str, preparation: PreparationConfig) -> Backbone:
    network = STAND_INS[name](read_stored(name), f"the stored {name}")
    package, licence = WEIGHTS[name].package, WEIGHTS[name].licence
    return Backbone(
        network,
        preparation=preparation,
        normalisation="half" if name == "imagenet_lite0" else "imagenet",
        origin=f"{name} from {package.name} {package.version}; {licence}",
    )


def _weight_file(source: str) -> Path:
    """The file of weights that a path or a hub id means."""
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if not path.exists() and _is_hub_id(source):
        path = _from_hub(source)
    if not path.exists():
        raise CheckpointError(
            f"no DINOv2 weights at {source}: neither a file, a folder nor a hub id",
            hint=f"what may stand in for DINOv2: {', '.join(STAND_INS)}",
        )
    found = [path / name for name in _FILES_IN_A_FOLDER if (path / name).is_file()]
    if not found:
        raise CheckpointError(f"the folder {path} holds none of {', '.join(_FILES_IN_A_FOLDER)}")
    return found[0]


def _is_hub_id(source: str) -> bool:
    return source.count("/") == 1 and not source.startswith((".", "/", "~")) and ":" not in source


def _from_hub(repository: str) -> Path:
    if is_offline():
        raise CheckpointError(
            f"{repository} is not on this machine and HFDIFF_OFFLINE forbids the network"
        )
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise MissingExtraError(
            f"{repository} would come from the hub, which needs an extra",
            hint="pip install 'hfdiff[hub]'",
        ) from error
    try:
        return Path(snapshot_download(repository, allow_patterns=["model.safetensors"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise CheckpointError(f"{repository} cannot be had from the hub: {error}") from error


def _built(trunk: Trunk, stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Only the tensors of the stages that were built."""
    wanted = trunk.state_dict().keys()
    return {key: tensor for key, tensor in stored.items() if key in wanted}
