"""Cutting gt patches: what the published rule does is in the parity tests."""

import numpy as np
import torch

from hfdiff.degradation.crops import softened


def test_a_softened_patch_keeps_its_size_and_is_8_bit():
    patch = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    soft = softened(patch, np.random.default_rng(0))

    assert soft.shape == patch.shape
    assert torch.equal(soft, (soft * 255).round() / 255)
    assert soft.min() >= 0
    assert soft.max() <= 1


def test_a_softened_patch_has_lost_its_finest_detail():
    patch = torch.zeros(1, 3, 64, 64)
    patch[..., ::2] = 1.0  # stripes of one pixel

    soft = softened(patch, np.random.default_rng(1))

    assert soft.diff(dim=-1).abs().mean() < 0.8 * patch.diff(dim=-1).abs().mean()


def test_a_smooth_patch_stays_as_bright_as_it_was():
    patch = torch.full((1, 3, 32, 32), 100 / 255)

    assert torch.allclose(softened(patch, np.random.default_rng(2)), patch, atol=1e-6)
