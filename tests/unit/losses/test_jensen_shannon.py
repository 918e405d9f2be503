import math

import pytest
import torch

from backbones import small_backbone
from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.losses import jensen_shannon
from hfdiff.losses.jensen_shannon import TEMPERATURES, JensenShannonConfig, divergence, js_dino
from hfdiff.nn.dino import Tokens
from support import normal, picture

WAYS = [*TEMPERATURES, "batch_gaussian"]
every_way = pytest.mark.parametrize("way", WAYS)


def pictures(name: str, count: int = 2) -> torch.Tensor:
    return picture(name, (count, 3, 32, 32))


def loss(way, sr_pm1, gt_pm1, network=None):
    return js_dino(network or small_backbone(), sr_pm1, gt_pm1, config=JensenShannonConfig(way=way))


# The divergence itself.


def test_a_distribution_does_not_diverge_from_itself():
    logits = 5 * normal("p", (3, 50))

    assert torch.equal(divergence(logits, logits.clone()), torch.zeros(3))


def test_the_divergence_is_symmetric():
    p, q = 5 * normal("p", (3, 50)), 5 * normal("q", (3, 50))

    torch.testing.assert_close(divergence(p, q), divergence(q, p), atol=0, rtol=1e-6)


def test_the_divergence_is_equation_4():
    """0.5 (KL(P || M) + KL(Q || M)) with M = (P + Q) / 2, written out in float64."""
    p, q = (normal(name, (4, 30)).double().softmax(-1) for name in "pq")
    m = (p + q) / 2

    expected = 0.5 * ((p * (p / m).log()).sum(-1) + (q * (q / m).log()).sum(-1))

    torch.testing.assert_close(divergence(p.log(), q.log()), expected, atol=1e-14, rtol=1e-12)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1000.0])
def test_the_divergence_lies_between_0_and_ln_2(scale):
    p, q = scale * normal("p", (100, 50)), scale * normal("q", (100, 50))

    values = divergence(p, q)

    assert (values >= -1e-6).all()  # float32 rounding of a sum of 100 terms
    assert (values <= math.log(2) + 1e-6).all()


def test_one_hot_distributions_are_ln_2_apart_with_a_finite_gradient():
    p = torch.tensor([[1.0, 0.0, 0.0]]).log().requires_grad_()
    q = torch.tensor([[0.0, 1.0, 0.0]]).log()

    value = divergence(p, q)
    value.sum().backward()

    torch.testing.assert_close(value, torch.tensor([math.log(2)]))
    assert torch.isfinite(p.grad).all()


def test_equal_one_hot_distributions_do_not_diverge():
    p = torch.tensor([[1.0, 0.0, 0.0]]).log()

    assert divergence(p, p.clone()).item() == 0


def test_the_gradient_of_the_divergence_passes_finite_differences():
    p, q = normal("p", (2, 7)).double().requires_grad_(), normal("q", (2, 7)).double()

    assert torch.autograd.gradcheck(lambda logits: divergence(logits, q), (p,))


@pytest.mark.parametrize(
    ("way", "tau", "expected"),
    [  # cosine 0, 0.8, 0.9, 0.99 (facts j.5)
        ("cls_softmax", None, (0.420, 0.122, 0.064, 6.8e-3)),
        ("cls_l2_softmax", 1.0, (6.5e-4, 1.3e-4, 6.5e-5, 6.5e-6)),
        ("cls_l2_softmax", None, (0.061, 0.013, 6.4e-3, 6.4e-4)),
        ("cls_l2_softmax", 0.04, (0.291, 0.075, 0.038, 3.9e-3)),
        ("cls_std_softmax", None, (0.201, 0.048, 0.024, 2.5e-3)),
    ],
)
def test_tokens_of_a_given_cosine_cost_what_the_decision_table_says(way, tau, expected):
    """256 pairs of Gaussian tokens with std 1.7; the spread of the mean is below 3 %."""
    a, b = (1.7 * normal(name, (256, 384)) for name in "ab")
    config = JensenShannonConfig(way=way, tau=tau)

    for cosine, value in zip((0.0, 0.8, 0.9, 0.99), expected, strict=True):
        turned = cosine * a + math.sqrt(1 - cosine**2) * b
        sides = Tokens(turned, turned[:, None]), Tokens(a, a[:, None])
        logits = jensen_shannon._LOGITS[way](*sides, config.temperature)

        assert divergence(*logits).mean().item() == pytest.approx(value, rel=0.05)


# The loss.


@every_way
def test_equal_pictures_cost_nothing(way):
    x = pictures("a")

    assert loss(way, x, x.clone()).item() == pytest.approx(0, abs=1e-6)


@every_way
def test_different_pictures_cost_more_than_nothing_and_at_most_ln_2(way):
    value = loss(way, pictures("a"), pictures("b"))

    assert value.shape == ()
    assert value.dtype == torch.float32
    assert 0 < value.item() <= math.log(2)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "batch_relation"])
def test_the_loss_is_symmetric_where_the_gt_is_no_reference(way):
    """In batch_relation it is one: cosines are those to the gt of the batch."""
    a, b = pictures("a"), pictures("b")

    torch.testing.assert_close(loss(way, a, b), loss(way, b, a), atol=1e-6, rtol=1e-4)


@every_way
def test_the_gradient_reaches_the_sr_and_neither_the_gt_nor_the_network(way):
    sr, gt = pictures("a").requires_grad_(), pictures("b").requires_grad_()
    network = small_backbone()

    loss(way, sr, gt, network).backward()

    assert torch.isfinite(sr.grad).all()
    assert sr.grad.abs().max() > 0
    assert gt.grad is None
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())


@every_way
def test_the_gradient_passes_finite_differences(way):
    network = small_backbone(width=5, size=14).double()
    sr = pictures("a").double()[..., :14, :14].clone().requires_grad_()
    gt = pictures("b").double()[..., :14, :14]

    assert torch.autograd.gradcheck(
        lambda x: loss(way, x, gt, network), (sr,), fast_mode=True, atol=1e-7, rtol=1e-4
    )


@every_way
def test_a_step_against_the_gradient_lowers_the_loss(way):
    sr, gt = pictures("a").requires_grad_(), pictures("b")
    before = loss(way, sr, gt)
    before.backward()

    step = 0.1 * sr.grad / sr.grad.norm()

    assert loss(way, sr.detach() - step, gt) < before


@pytest.mark.parametrize("way", [way for way in WAYS if not way.startswith("batch")])
def test_the_loss_of_a_batch_is_the_mean_over_its_pictures(way):
    a, b = pictures("a"), pictures("b")

    singles = (loss(way, a[:1], b[:1]) + loss(way, a[1:], b[1:])) / 2

    torch.testing.assert_close(loss(way, a, b), singles)


@every_way
def test_the_default_does_not_depend_on_an_autocast_around_it(way):
    a, b, network = pictures("a"), pictures("b"), small_backbone()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(way, a, b, network)

    assert torch.equal(inside, loss(way, a, b, network))


def test_the_network_may_compute_in_bfloat16_while_the_loss_stays_float32():
    a, b, network = pictures("a"), pictures("b"), small_backbone()

    value = js_dino(network, a, b, dtype=torch.bfloat16)

    assert value.dtype == torch.float32
    torch.testing.assert_close(value, js_dino(network, a, b), atol=0, rtol=0.05)


@pytest.mark.parametrize("way", ["batch_relation", "batch_gaussian"])
def test_a_batch_of_one_picture_has_no_distribution(way):
    with pytest.raises(SettingsError, match="need at least 2 pictures at once"):
        loss(way, pictures("a", 1), pictures("b", 1))


def test_the_gaussians_of_the_same_pictures_in_another_order_are_equal():
    x = pictures("a", 4)

    value = loss("batch_gaussian", x.flip(0), x)

    assert value.item() == pytest.approx(0, abs=1e-6)


def test_latents_are_refused_by_their_size_and_by_their_range():
    network = small_backbone()

    with pytest.raises(ImageError, match="of one shape"):
        js_dino(network, pictures("a")[..., ::4, ::4], pictures("b"))
    with pytest.raises(ImageError, match=r"gt_pm1 must lie in \[-1, 1\], got values up to 4"):
        js_dino(network, pictures("a"), torch.full((2, 3, 32, 32), 4.0))


@pytest.mark.parametrize("tau", [0.0, -1.0, math.inf, math.nan])
def test_an_impossible_temperature_is_refused(tau):
    with pytest.raises(SettingsError, match="tau must be a number above 0"):
        JensenShannonConfig(tau=tau)


def test_a_temperature_where_there_is_no_softmax_is_refused():
    with pytest.raises(SettingsError, match="batch_gaussian has no soft-max"):
        JensenShannonConfig(way="batch_gaussian", tau=1.0)
