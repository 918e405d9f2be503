"""Answers held to their lq."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hfdiff.core.errors import SettingsError
from hfdiff.upscaling.fidelity import (
    COLOUR_REACH,
    FIDELITY_REACH,
    keep_colours,
    keep_fidelity,
)


def _pair(side: int = 48) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    lq = torch.rand((3, side, side), generator=generator)
    return torch.rand((3, 4 * side, 4 * side), generator=generator), lq


def _half(sr: Tensor, lq: Tensor) -> Tensor:
    return keep_fidelity(sr, lq, 0.5)


def test_strength_zero_is_the_answer_itself() -> None:
    sr, lq = _pair()
    assert torch.equal(keep_fidelity(sr, lq, 0.0), sr)


def test_the_stronger_the_nearer_to_the_lq() -> None:
    sr, lq = _pair()
    apart = [
        float((F.avg_pool2d(keep_fidelity(sr, lq, s)[None], 4)[0] - lq).abs().mean())
        for s in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < 0.3 * apart[0]


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(SettingsError, match="fidelity"):
        keep_fidelity(*_pair(), strength)


def test_a_tint_goes_and_detail_stays() -> None:
    lq = torch.full((3, 48, 48), 0.5)
    detail = torch.tensor([0.1, -0.1]).repeat(96).expand(3, 192, 192)
    tint = torch.tensor([0.05, -0.02, 0.01])[:, None, None]
    torch.testing.assert_close(keep_colours(0.5 + detail + tint, lq), 0.5 + detail)


@pytest.mark.parametrize(("hold", "reach"), [(keep_colours, COLOUR_REACH), (_half, FIDELITY_REACH)])
def test_a_cut_gives_what_the_whole_gives(
    hold: Callable[[Tensor, Tensor], Tensor], reach: int
) -> None:
    sr, lq = _pair()
    whole = hold(sr, lq)
    cut = hold(sr[:, 40:160, 40:160], lq[:, 10:40, 10:40])
    inner = slice(4 * reach, 120 - 4 * reach)
    outer = slice(40 + 4 * reach, 160 - 4 * reach)
    torch.testing.assert_close(cut[:, inner, inner], whole[:, outer, outer], rtol=0, atol=2e-6)


def test_sides_that_do_not_fit_are_refused() -> None:
    sr, lq = _pair()
    with pytest.raises(SettingsError, match="does not fit"):
        keep_colours(sr[:, 1:], lq)
