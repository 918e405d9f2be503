"""Adversarial terms in hinge form, and the weight that balances them (facts e.8)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hfdiff.losses.precision import at_least_float32

LARGEST_WEIGHT = 1e4


def generator_hinge(logits_sr: Tensor) -> Tensor:
    """-mean D(sr): what the generator minimises."""
    return -at_least_float32(logits_sr).mean()


def discriminator_hinge(logits_gt: Tensor, logits_sr: Tensor) -> Tensor:
    """0.5 (mean relu(1 - D(gt)) + mean relu(1 + D(sr)))."""
    real, made = 1 - at_least_float32(logits_gt), 1 + at_least_float32(logits_sr)
    return 0.5 * (F.relu(real).mean() + F.relu(made).mean())


def adaptive_weight(rest: Tensor, adversarial: Tensor, last_weight: Tensor) -> Tensor:
    """|grad of the rest| / |grad of the adversarial term| at the last layer, detached.

    Times 0.75 this is the published weight of the adversarial term. The 1e-4 is published, too; it
    bounds the weight where the discriminator has nothing to say.
    """
    (wanted,) = torch.autograd.grad(rest, last_weight, retain_graph=True)
    (got,) = torch.autograd.grad(adversarial, last_weight, retain_graph=True)
    return (wanted.norm() / (got.norm() + 1e-4)).clamp(0, LARGEST_WEIGHT).detach()
