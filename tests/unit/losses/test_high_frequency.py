import pytest
import torch

from hfdiff.core.errors import ImageError
from hfdiff.losses.high_frequency import hf
from hfdiff.nn.extractor import Extractor, ExtractorConfig
from hfdiff.nn.invertible import InvertibleConfig
from support import fill_by_recipe, normal, picture

CONFIG = ExtractorConfig(invertible=InvertibleConfig(width=8, modules=2))


@pytest.fixture
def extractor():
    network = fill_by_recipe(Extractor(CONFIG))
    for parameter in network.parameters():
        parameter.mul_(0.6)  # the spread of torch's fresh convolutions
    return network


def pictures(name: str, count: int = 2) -> torch.Tensor:
    return picture(name, (count, 3, 12, 10))


def test_equal_pictures_cost_nothing(extractor):
    x = pictures("a")

    assert hf(extractor, x, x.clone()) == 0


def test_the_loss_is_equation_6(extractor):
    a, b = pictures("a"), pictures("b")

    expected = (extractor(b) - extractor(a)).square().mean()

    torch.testing.assert_close(hf(extractor, a, b), expected)


def test_the_spread_of_channels_can_be_divided_out(extractor):
    a, b = pictures("a"), pictures("b")
    std = normal("std", (8,)).abs() + 0.5
    extractor.channel_std.copy_(std)

    expected = ((extractor(b) - extractor(a)) / std[:, None, None]).square().mean()

    torch.testing.assert_close(hf(extractor, a, b, normalize="channel_std"), expected)
    assert hf(extractor, a, b, normalize="channel_std") != hf(extractor, a, b)


def test_in_two_poses_lines_cost_the_same_whichever_way_they_run(extractor):
    a, b = picture("a", (2, 3, 12, 12)), picture("b", (2, 3, 12, 12))

    once, turned = hf(extractor, a, b), hf(extractor, a.mT, b.mT)

    assert once != turned
    torch.testing.assert_close(hf(extractor, a, b, poses=2), (once + turned) / 2)
    torch.testing.assert_close(hf(extractor, a.mT, b.mT, poses=2), hf(extractor, a, b, poses=2))


def test_the_loss_is_a_positive_float32_scalar_whatever_autocast_says(extractor):
    a, b = pictures("a"), pictures("b")

    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = hf(extractor, a, b)

    assert value.shape == ()
    assert value.dtype == torch.float32
    assert value > 0
    assert value == hf(extractor, a, b)


def test_convolutions_in_bfloat16_change_the_loss_by_their_rounding_only(extractor):
    a, b = pictures("a"), pictures("b")

    value = hf(extractor, a, b, dtype=torch.bfloat16)

    assert value.dtype == torch.float32
    torch.testing.assert_close(value, hf(extractor, a, b), atol=0, rtol=0.02)


def test_the_gradient_reaches_the_sr_and_neither_the_gt_nor_the_extractor(extractor):
    sr, gt = pictures("a").requires_grad_(), pictures("b").requires_grad_()

    hf(extractor, sr, gt).backward()

    assert sr.grad.abs().max() > 0
    assert gt.grad is None
    assert all(p.grad is None and not p.requires_grad for p in extractor.parameters())


@pytest.mark.parametrize("form", ["ordinary", "reconstruct"])
def test_the_gradient_passes_finite_differences(extractor, form):
    extractor.double().invertible.backward_form = form
    sr, gt = pictures("a", 1).double().requires_grad_(), pictures("b", 1).double()

    assert torch.autograd.gradcheck(lambda x: hf(extractor, x, gt), (sr,), fast_mode=True)


def test_both_backward_forms_give_the_loss_the_same_gradient(extractor):
    grads = []
    for form in ("ordinary", "reconstruct"):
        extractor.invertible.backward_form = form
        sr = pictures("a").requires_grad_()
        hf(extractor, sr, pictures("b")).backward()
        grads.append(sr.grad)

    torch.testing.assert_close(grads[1], grads[0], atol=1e-5 * float(grads[0].abs().max()), rtol=0)


def test_a_step_against_the_gradient_lowers_the_loss(extractor):
    sr, gt = pictures("a").requires_grad_(), pictures("b")
    before = hf(extractor, sr, gt)
    before.backward()

    step = 0.1 * sr.grad / sr.grad.norm()

    assert hf(extractor, sr.detach() - step, gt) < before


def test_latents_are_refused_by_their_size_and_by_their_range(extractor):
    with pytest.raises(ImageError, match="of one shape"):
        hf(extractor, pictures("a")[..., :3, :3], pictures("b"))
    with pytest.raises(ImageError, match=r"got values up to 3: a latent\?"):
        hf(extractor, pictures("a"), torch.full((2, 3, 12, 10), 3.0))
