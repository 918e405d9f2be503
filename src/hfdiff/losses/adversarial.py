"""Adversarial terms in hinge form, and the weight that balances them (facts e.8)."""

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_WEIGHT = 1e4
PUBLISHED_SHARE = 0.75


def generator_hinge(logits_sr: Tensor) -> Tensor:
    """-mean D(sr): what the generator minimises."""
    return -logits_sr.float().mean()


def discriminator_hinge(logits_gt: Tensor, logits_sr: Tensor) -> Tensor:
    """0.5 (mean relu(1 - D(gt)) + mean relu(1 + D(sr)))."""
    real, made = F.relu(1 - logits_gt.float()).mean(), F.relu(1 + logits_sr.float()).mean()
    return 0.5 * (real + made)


def adaptive_weight(rest: Tensor, adversarial: Tensor, last_weight: Tensor) -> Tensor:
    """|grad of the rest| / |grad of the adversarial term| at the last layer, detached.

    Times `PUBLISHED_SHARE` this is the published weight of the adversarial term.
    """
    (wanted,) = torch.autograd.grad(rest, last_weight, retain_graph=True)
    (got,) = torch.autograd.grad(adversarial, last_weight, retain_graph=True)
    return (wanted.norm() / (got.norm() + 1e-4)).clamp(0, LARGEST_WEIGHT).detach()
