"""The latent terms of distillation (SinSR; paper Eqs. 3, 7, 8; facts e.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hfdiff.core.errors import SettingsError
from hfdiff.losses.inputs import DistillInputs
from hfdiff.losses.precision import at_least_float32

COVARIANCE_PATCH = 8  # side of the patches whose covariance is compared (facts e.3)


def distill_loss(inputs: DistillInputs) -> Tensor:
    """L_distill (Eq. 3): one step of the student must equal the teacher's whole path."""
    return _mean_square(inputs.x_0_student, inputs.x_0_teacher)


def inverse_loss(inputs: DistillInputs) -> Tensor:
    """L_inv (Eq. 7): the student at t = 0 must map the teacher's answer back to its start."""
    return _mean_square(inputs.x_T_student, inputs.x_T)


def consistency_loss(inputs: DistillInputs) -> Tensor:
    """L_con (Eq. 8): the gt's latent, to a noisy start and back, must return."""
    return _mean_square(inputs.x_0_consistent, inputs.x_0_gt)


def covariance_loss(inputs: DistillInputs) -> Tensor:
    """The noise that the student sees in the gt must be white (SinSR's xT_cov_loss, facts e.3).

    With d = x_T_gt - y: per channel, the unbiased covariance of all 8x8 patches of d as vectors of
    64, minus prior_std^2 I; squares, mean over entries, sum over channels, mean over the batch.

    Raises:
        SettingsError: for latents that hold no two patches.
    """
    d = at_least_float32(inputs.x_T_gt - inputs.y)
    B, C, h, w = d.shape
    if min(h, w) <= COVARIANCE_PATCH:
        raise SettingsError(f"the term cov needs latents larger than 8x8, got {w}x{h}")
    patches = F.unfold(d.reshape(B * C, 1, h, w), COVARIANCE_PATCH)  # [B * C, 64, positions]
    patches = patches - patches.mean(2, keepdim=True)
    with torch.autocast(d.device.type, enabled=False):
        covariance = patches @ patches.mT / (patches.shape[2] - 1)
    white = inputs.prior_std**2 * torch.eye(patches.shape[1]).to(d)
    return (covariance - white).square().mean((1, 2)).view(B, C).sum(1).mean()


def distill_image_loss(inputs: DistillInputs) -> Tensor:
    """L_distill of decoded pictures (SinSR's loss_in_image_space, facts e.3)."""
    return _mean_square(inputs.student_pm1, inputs.teacher_pm1)


def consistency_image_loss(inputs: DistillInputs) -> Tensor:
    """L_con of decoded pictures, against the gt itself (likewise)."""
    return _mean_square(inputs.consistent_pm1, inputs.gt_pm1)


def l1_loss(inputs: DistillInputs) -> Tensor:
    """Mean absolute difference of pictures; keeps colours while a decoder learns along."""
    return F.l1_loss(at_least_float32(inputs.sr_pm1), at_least_float32(inputs.gt_pm1))


def anchor_loss(inputs: DistillInputs) -> Tensor:
    """Mean absolute error of the decoded gt's latent: the decoder must not forget true latents.

    Ours, for a decoder that learns along: without it the decoder bends to the student's errors, and
    what it makes of a perfect latent, the ceiling, falls.
    """
    return F.l1_loss(at_least_float32(inputs.reconstruction_pm1), at_least_float32(inputs.gt_pm1))


def _mean_square(a: Tensor, b: Tensor) -> Tensor:
    return F.mse_loss(at_least_float32(a), at_least_float32(b))
