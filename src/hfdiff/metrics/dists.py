"""DISTS: structure and texture of VGG16 features (arXiv 2004.07728), with its published weights.

The taps of VGG16 with L2 pooling and the picture itself; per channel one number for texture (means)
and one for structure (covariance), weighted by alpha and beta.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfdiff.core.errors import ImageError
from hfdiff.core.weights import load_strictly, read_weights
from hfdiff.metrics.inputs import checked_pair, exact_float32
from hfdiff.nn.features import VGG16, Trunk, imagenet_normalised
from hfdiff.nn.pretrained import load_trunk

LEAST_SIDE = 16
CHANNELS = 3 + sum(stage.width for stage in VGG16.stages)
C1 = C2 = 1e-6  # published; they decide what channels without any signal count
_POOL_FLOOR = 1e-12  # published; keeps the root away from 0
_BOXED = Path(__file__).parent / "data" / "dists.safetensors"


class Dists(nn.Module):
    """The DISTS distance between pictures in [0, 1].

    Args:
        trunk: VGG16, all stages, with `l2_pool`.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.alpha = nn.Parameter(torch.zeros(CHANNELS))
        self.beta = nn.Parameter(torch.zeros(CHANNELS))
        self.requires_grad_(False).eval()

    def forward(self, sr_01: Tensor, gt_01: Tensor) -> Tensor:
        """``[B]``: 1 - sum of alpha * texture + beta * structure over all channels."""
        similarities = [
            _similarities(x, y) for x, y in zip(self._taps(sr_01), self._taps(gt_01), strict=True)
        ]
        texture = torch.cat([pair[0] for pair in similarities], dim=1)
        structure = torch.cat([pair[1] for pair in similarities], dim=1)
        total = self.alpha.sum() + self.beta.sum()
        return 1 - (texture @ self.alpha + structure @ self.beta) / total

    def _taps(self, picture_01: Tensor) -> list[Tensor]:
        return [picture_01, *self.trunk(imagenet_normalised(picture_01))]


def load_dists() -> Dists:
    """DISTS with its published alpha and beta, frozen, on the CPU.

    Raises:
        CheckpointError: when VGG16 is not on this machine, with the command that gets it.
    """
    network = Dists(load_trunk(VGG16, pool=l2_pool))
    trunk = {f"trunk.{key}": tensor for key, tensor in network.trunk.state_dict().items()}
    load_strictly(network, {**trunk, **read_weights(_BOXED)[0]}, "the boxed dists weights")
    return network


def dists(network: Dists, sr_01: Tensor, gt_01: Tensor) -> Tensor:
    """Deep image structure and texture similarity, as a distance.

    Args:
        network: `load_dists`, on the pictures' device.
        sr_01: ``[B, 3, H, W]``, sides of at least 16; no resizing is done.
        gt_01: The same shape.

    Returns:
        ``[B]`` float32 in about [0, 1]; 0 for equal pictures.

    Raises:
        ImageError: when the shapes differ, a side is too short or values leave [0, 1].
    """
    checked_pair(sr_01, gt_01)
    height, width = sr_01.shape[-2:]
    if min(height, width) < LEAST_SIDE:
        raise ImageError(f"dists needs sides of at least {LEAST_SIDE}, got {width}x{height}")
    with exact_float32(sr_01.device):
        return network(sr_01.float(), gt_01.float())


def l2_pool(x: Tensor) -> Tensor:
    """Root of the Hanning-weighted mean of squares, 3x3, stride 2, padding 1."""
    # hanning(5) without its zeros is (1, 2, 1) / 2; the square window is normalised to sum 1.
    side = x.new_tensor([0.25, 0.5, 0.25])
    window = (side[:, None] * side[None, :]).expand(x.shape[1], 1, 3, 3)
    means = F.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1])
    return (means + _POOL_FLOOR).sqrt()


def _similarities(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Texture and structure of maps ``[B, C, H, W]``: ``[B, C]`` each."""
    mean_x, mean_y = x.mean((2, 3)), y.mean((2, 3))
    texture = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    variance_x = (x - mean_x[:, :, None, None]).square().mean((2, 3))
    variance_y = (y - mean_y[:, :, None, None]).square().mean((2, 3))
    covariance = (x * y).mean((2, 3)) - mean_x * mean_y
    return texture, (2 * covariance + C2) / (variance_x + variance_y + C2)
