"""LPIPS as a metric: `lpips` on AlexNet, `lpips_vgg` on VGG16 (facts j.3, k.2)."""

from torch import Tensor

from hfdiff.core.errors import ImageError
from hfdiff.metrics.inputs import checked_pair, exact_float32
from hfdiff.nn.features import Lpips

# AlexNet's first convolution and poolings need this much to leave one position; VGG16 needs 16.
LEAST_SIDE = 31


def lpips(network: Lpips, sr_01: Tensor, gt_01: Tensor) -> Tensor:
    """Learned perceptual distance, heads v0.1.

    Args:
        network: ``load_lpips(ALEXNET)`` or ``load_lpips(VGG16)``, on the pictures' device.
        sr_01: ``[B, 3, H, W]``, sides of at least 31.
        gt_01: The same shape.

    Returns:
        ``[B]`` float32, at least 0; 0 for equal pictures.

    Raises:
        ImageError: when the shapes differ, a side is too short or values leave [0, 1].
    """
    checked_pair(sr_01, gt_01)
    height, width = sr_01.shape[-2:]
    if min(height, width) < LEAST_SIDE:
        raise ImageError(f"lpips needs sides of at least {LEAST_SIDE}, got {width}x{height}")
    with exact_float32(sr_01.device):
        return network(sr_01.float() * 2 - 1, gt_01.float() * 2 - 1)
