"""What metrics share: checked inputs, the luma they measure on, arithmetic that is exact."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from hfdiff.core.checks import expect_image
from hfdiff.core.errors import ImageError

# ITU-R BT.601 luma of R, G, B in [0, 1], on the scale 16..235 (facts k.2, "ycbcr").
LUMA_WEIGHTS = (65.481, 128.553, 24.966)
LUMA_OFFSET = 16.0


def checked(picture_01: Tensor, name: str) -> None:
    """Refuse what is not a picture ``[B, 3, H, W]`` with values in [0, 1].

    Raises:
        ImageError: naming the argument, what was expected and what came.
    """
    expect_image(picture_01, name)
    low, high = float(picture_01.min()), float(picture_01.max())
    if low < 0 or high > 1:
        raise ImageError(f"{name} must hold values in [0, 1], got {low:.4g} to {high:.4g}")


def checked_pair(sr_01: Tensor, gt_01: Tensor) -> None:
    """Refuse pictures that are not of one size, or not as `checked` wants them.

    Raises:
        ImageError: naming both shapes.
    """
    checked(sr_01, "sr_01")
    checked(gt_01, "gt_01")
    if sr_01.shape != gt_01.shape:
        shapes = f"{list(sr_01.shape)} and {list(gt_01.shape)}"
        raise ImageError(f"sr_01 and gt_01 must have the same shape, got {shapes}")


def luma(picture_01: Tensor) -> Tensor:
    """Y of RGB ``[B, 3, H, W]`` in [0, 1]: ``[B, 1, H, W]`` float64 in 16..235, not rounded."""
    red, green, blue = in_float64(picture_01).unbind(1)
    weighted = LUMA_WEIGHTS[0] * red + LUMA_WEIGHTS[1] * green + LUMA_WEIGHTS[2] * blue
    return weighted.unsqueeze(1) + LUMA_OFFSET


def in_float64(tensor: Tensor) -> Tensor:
    """The tensor in float64: on its device, or on the CPU where the device has no float64."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


@contextlib.contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """No gradients, no autocast, no shortened float32: a metric must not depend on settings.

    The precision of convolutions and matrix products (as which small convolutions run) is set for
    the time of the call and put back; torch has no switch for one call. By default CUDA rounds the
    inputs of convolutions to 10 bits of mantissa, which moves LPIPS in its third digit.
    """
    backends: Any = torch.backends  # its modules make these attributes at run time
    switches = (backends.mkldnn.conv, backends.mkldnn.matmul)
    if device.type == "cuda":
        switches = (backends.cudnn.conv, backends.cuda.matmul)
    before = [switch.fp32_precision for switch in switches]
    try:
        for switch in switches:
            switch.fp32_precision = "ieee"
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = precision
