"""The latent terms of distillation (SinSR; paper Eqs. 3, 7, 8; facts e.3)."""

import torch.nn.functional as F
from torch import Tensor

from hfdiff.losses.inputs import DistillInputs


def distill_loss(inputs: DistillInputs) -> Tensor:
    """L_distill (Eq. 3): one step of the student must equal the teacher's whole path."""
    return F.mse_loss(inputs.x_0_student.float(), inputs.x_0_teacher.float())


def inverse_loss(inputs: DistillInputs) -> Tensor:
    """L_inv (Eq. 7): the student at t = 0 must map the teacher's answer back to its start."""
    return F.mse_loss(inputs.x_T_student.float(), inputs.x_T.float())


def consistency_loss(inputs: DistillInputs) -> Tensor:
    """L_con (Eq. 8): the gt's latent, to a noisy start and back, must return."""
    return F.mse_loss(inputs.x_0_consistent.float(), inputs.x_0_gt.float())


def l1_loss(inputs: DistillInputs) -> Tensor:
    """Mean absolute difference of pictures; keeps colours while a decoder learns along."""
    return F.l1_loss(inputs.sr_pm1.float(), inputs.gt_pm1.float())
