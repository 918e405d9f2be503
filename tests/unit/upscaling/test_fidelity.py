"""Answers held to their lq."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from hfdiff.core.errors import SettingsError
from hfdiff.imaging.picture import Picture
from hfdiff.model.sr_model import SRModel
from hfdiff.training.stages.common import describe_unsaved
from hfdiff.upscaling.cutting import COLOUR_REACH, FIDELITY_REACH
from hfdiff.upscaling.fidelity import keep_colours, keep_fidelity
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.upscaler import Upscaler
from small_models import small_model


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


def _upscaler(*, color_fix: bool = False) -> Upscaler:
    model = small_model("lite student")
    config = replace(model.config, halo=model.network.config.reach + model.codec.config.reach)
    fixed = SRModel(replace(config, color_fix=color_fix), model.network, model.codec)
    return Upscaler(fixed, describe_unsaved(fixed.config, "small"), device="cpu")


def _photograph() -> Picture:
    smooth = np.random.default_rng(5).integers(0, 256, (12, 15, 3), dtype=np.uint8)
    return Picture(samples=np.asarray(Image.fromarray(smooth).resize((150, 120))))


@pytest.mark.parametrize(
    "asked", [{"color_fix": True}, {"fidelity": 0.5}, {"color_fix": True, "fidelity": 0.3}]
)
def test_tiles_held_to_their_lq_equal_the_whole_picture(asked: dict[str, float]) -> None:
    upscaler, picture = _upscaler(), _photograph()

    whole = upscaler.upscale(picture, UpscaleOptions(tile=0, **asked)).samples.astype(int)
    tiled = upscaler.upscale(picture, UpscaleOptions(tile=104, **asked)).samples.astype(int)

    assert np.abs(whole - tiled).max() <= 1


def test_colours_are_kept_where_the_model_file_or_the_user_says_so() -> None:
    picture = _photograph()

    def apart(upscaler: Upscaler, **asked: bool) -> float:
        samples = upscaler.upscale(picture, UpscaleOptions(**asked)).samples
        cells = samples.reshape(120, 4, 150, 4, 3).mean((1, 3))
        return float(np.abs(cells.mean((0, 1)) - picture.samples.mean((0, 1))).max())

    plain, fixing = _upscaler(), _upscaler(color_fix=True)
    assert apart(plain) == apart(fixing, color_fix=False)
    assert apart(fixing) == apart(plain, color_fix=True)
    assert apart(fixing) < 0.3 * apart(plain)
