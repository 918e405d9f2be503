"""Jensen-Shannon divergence of sr and gt in a feature space (HF-Diff Eq. 4; facts j.4, j.5).

The paper does not say what P_SR and P_GT are; here each choice has a name. Everything is in nats,
so the divergence lies in [0, ln 2].
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from hfdiff.core.checks import expect_pair_pm1
from hfdiff.core.errors import SettingsError
from hfdiff.nn.dino import Backbone, Tokens

Way = Literal[
    "cls_softmax",
    "cls_std_softmax",
    "cls_l2_softmax",
    "patch_softmax",
    "spatial_softmax",
    "batch_relation",
    "batch_gaussian",
]
LN_2 = math.log(2)
SMALLEST_LOG = -1e4
"""Stands for log 0: its exponential is 0 in every precision, and it is finite."""

# The temperature of each way unless another is asked for (facts j.5).
TEMPERATURES: Mapping[Way, float] = {
    "cls_softmax": 1.0,
    "cls_std_softmax": 1.0,
    "cls_l2_softmax": 0.1,
    "patch_softmax": 1.0,
    "spatial_softmax": 1.0,
    "batch_relation": 0.1,
}
GAUSSIAN_POINTS = 64
VARIANCE_FLOOR = 1e-4
"""Added to variances, which are about 1: keeps a dimension without spread finite."""


@dataclass(frozen=True, kw_only=True)
class JensenShannonConfig:
    """What P_SR and P_GT are.

    Attributes:
        way: ``cls_softmax``: soft-max over the dimensions of the class token (default);
            ``cls_std_softmax``: the same of the standardised token, independent of its scale;
            ``cls_l2_softmax``: of the token at length 1;
            ``patch_softmax``: cls_softmax on every patch token, mean over tokens;
            ``spatial_softmax``: for each dimension a soft-max over patch positions, mean over
            dimensions;
            ``batch_relation``: of a picture's cosines to all gt of the batch;
            ``batch_gaussian``: of a Gaussian over the batch for each dimension of the class token,
            mean over dimensions (of all dimensions at once it is ln 2 for all but equal batches).
        tau: Temperature of the soft-max; None: the way's own.
    """

    way: Way = "cls_softmax"
    tau: float | None = None

    def __post_init__(self) -> None:
        if self.tau is not None and not 0 < self.tau < math.inf:
            raise SettingsError(f"tau must be a number above 0, got {self.tau}")
        if self.tau is not None and self.way not in TEMPERATURES:
            raise SettingsError(f"{self.way} has no soft-max and so no tau")

    @property
    def is_over_batch(self) -> bool:
        """Whether the distributions are over the pictures of a batch."""
        return self.way.startswith("batch_")

    @property
    def temperature(self) -> float:
        """The temperature in use."""
        return TEMPERATURES[self.way] if self.tau is None else self.tau


def js_dino(
    network: Backbone,
    sr_pm1: Tensor,
    gt_pm1: Tensor,
    *,
    config: JensenShannonConfig | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """JSD(P_SR || P_GT) of pairs of pictures, mean over the batch.

    The gradient reaches the sr only; a frozen network is the caller's to give. The two ``batch_``
    ways look at the batch they are given, so they change with its size.

    Args:
        network: DINOv2 or what stands in for it, frozen and in evaluation mode.
        sr_pm1: ``[B, 3, H, W]`` as decoded, not clamped.
        gt_pm1: The same shape, in [-1, 1].
        config: What the distributions are.
        dtype: What the network computes in; the distributions are float32.

    Returns:
        A scalar in [0, ln 2].

    Raises:
        ImageError: for anything that is not a pair of pictures, such as latents.
        SettingsError: for a batch of one picture where the batch is the distribution.
    """
    config = config or JensenShannonConfig()
    expect_pair_pm1(sr_pm1, gt_pm1)
    device = sr_pm1.device.type
    with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
        with torch.no_grad():
            gt = _widened(network(gt_pm1))
        sr = _widened(network(sr_pm1))
    with torch.autocast(device, enabled=False):
        if config.way == "batch_gaussian":
            return _gaussian_divergence(_batch(sr.cls), _batch(gt.cls))
        logits = _LOGITS[config.way]
        return divergence(*logits(sr, gt, config.temperature)).mean()


def divergence(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """JSD(P || Q) in nats of the distributions soft-max(logits) over the last axis.

    Args:
        logits_p: ``[..., D]``; logarithms of probabilities are logits too.
        logits_q: The same shape.

    Returns:
        ``[...]``, in [0, ln 2] up to rounding.
    """
    log_p = F.log_softmax(logits_p, dim=-1).clamp_min(SMALLEST_LOG)
    log_q = F.log_softmax(logits_q, dim=-1).clamp_min(SMALLEST_LOG)
    from_p = log_p.exp() * _log_over_mean(log_p, log_q)  # KL(P || M) before the sum
    from_q = log_q.exp() * _log_over_mean(log_q, log_p)
    return 0.5 * (from_p + from_q).sum(-1)


def _log_over_mean(log_p: Tensor, log_q: Tensor) -> Tensor:
    """log(p / m) with m = (p + q) / 2, exactly 0 where p = q and at most ln 2.

    log m as such would be a rounded number near log p; this form never subtracts the two.
    """
    return LN_2 - F.softplus(log_q - log_p, threshold=40.0)


def _of_cls(sr: Tokens, gt: Tokens, tau: float) -> tuple[Tensor, Tensor]:
    return sr.cls / tau, gt.cls / tau


def _of_standardised_cls(sr: Tokens, gt: Tokens, tau: float) -> tuple[Tensor, Tensor]:
    width = sr.cls.shape[-1:]
    return F.layer_norm(sr.cls, width) / tau, F.layer_norm(gt.cls, width) / tau


def _of_unit_cls(sr: Tokens, gt: Tokens, tau: float) -> tuple[Tensor, Tensor]:
    return F.normalize(sr.cls, dim=-1) / tau, F.normalize(gt.cls, dim=-1) / tau


def _of_patches(sr: Tokens, gt: Tokens, tau: float) -> tuple[Tensor, Tensor]:
    return sr.patches / tau, gt.patches / tau


def _of_positions(sr: Tokens, gt: Tokens, tau: float) -> tuple[Tensor, Tensor]:
    return sr.patches.mT / tau, gt.patches.mT / tau


def _of_relations(sr: Tokens, gt: Tokens, tau: float) -> tuple[Tensor, Tensor]:
    unit_sr, unit_gt = F.normalize(_batch(sr.cls), dim=-1), F.normalize(gt.cls, dim=-1)
    return unit_sr @ unit_gt.T / tau, unit_gt @ unit_gt.T / tau


_LOGITS: Mapping[Way, Callable[[Tokens, Tokens, float], tuple[Tensor, Tensor]]] = {
    "cls_softmax": _of_cls,
    "cls_std_softmax": _of_standardised_cls,
    "cls_l2_softmax": _of_unit_cls,
    "patch_softmax": _of_patches,
    "spatial_softmax": _of_positions,
    "batch_relation": _of_relations,
}


def _gaussian_divergence(sr: Tensor, gt: Tensor) -> Tensor:
    """Mean over dimensions of the JSD of two Gaussians with the moments of batches ``[B, D]``.

    There is no closed form: each side is sampled at the same fixed quantiles, so that the estimate
    is symmetric, 0 for equal batches, at most ln 2, and has a gradient.
    """
    ranks = torch.arange(GAUSSIAN_POINTS, device=sr.device, dtype=sr.dtype) + 0.5
    quantiles = torch.special.ndtri(ranks / GAUSSIAN_POINTS)[:, None]
    sides = [_moments(sr), _moments(gt)]
    total = sr.new_zeros(())
    for (mean, std), other in zip(sides, reversed(sides), strict=True):
        points = mean + std * quantiles  # [points, D]
        log_p, log_q = _log_density(points, mean, std), _log_density(points, *other)
        total = total + 0.5 * _log_over_mean(log_p, log_q).mean()
    return total


def _moments(batch: Tensor) -> tuple[Tensor, Tensor]:
    return batch.mean(0), (batch.var(0, correction=0) + VARIANCE_FLOOR).sqrt()


def _log_density(points: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Up to the constant that both densities share."""
    return -0.5 * ((points - mean) / std).square() - std.log()


def _batch(tokens: Tensor) -> Tensor:
    if len(tokens) < 2:
        raise SettingsError("batch_relation and batch_gaussian need at least 2 pictures at once")
    return tokens


def _widened(tokens: Tokens) -> Tokens:
    """Tokens in float32 or better."""
    return Tokens(*(t.to(torch.promote_types(t.dtype, torch.float32)) for t in tokens))
