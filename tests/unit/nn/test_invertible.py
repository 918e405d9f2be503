import logging
import math

import pytest
import torch

from hfdiff.core.errors import SettingsError
from hfdiff.nn.invertible import (
    RECONSTRUCTION_LIMIT,
    InvertibleConfig,
    InvertibleModule,
    InvertibleStack,
)
from memory import peak_bytes
from support import fill_by_recipe, normal, recipe_tensor

KINDS = [
    InvertibleConfig(width=8),
    InvertibleConfig(width=8, mix="reverse"),
    InvertibleConfig(width=8, mix="conv1x1", maps="inverted_residual"),
    InvertibleConfig(width=8, split=3, maps="inverted_residual"),
    InvertibleConfig(width=9, split=7, log_scale_bound=math.inf),
]
every_kind = pytest.mark.parametrize("config", KINDS)


def trained(config: InvertibleConfig, gain: float = 1.0) -> InvertibleStack:
    """A stack whose maps do something: ``gain`` 1 is the spread of torch's fresh convolutions."""
    stack = InvertibleStack(config)
    with torch.no_grad():
        for name, parameter in stack.named_parameters():
            if ".mix." not in name:
                parameter.copy_(gain / math.sqrt(3) * recipe_tensor(name, parameter.shape))
            elif name.endswith("weight"):
                rotation = torch.linalg.qr(normal(name, parameter.shape[:2])).Q
                parameter.copy_(rotation[..., None, None])
    return stack


def gradients(stack, z, weights, form):
    stack.backward_form = form
    stack.zero_grad()
    z = z.clone().requires_grad_()
    (stack(z) * weights).sum().backward()
    return [z.grad, *(parameter.grad.clone() for parameter in stack.parameters())]


@every_kind
def test_a_fresh_stack_changes_nothing_but_the_channels_mix(config):
    stack = InvertibleStack(config)
    z = normal("z", (2, config.width, 6, 5))

    expected = z
    for module in stack.layers:
        expected = module.mix(expected)

    assert torch.equal(stack(z), expected)


@every_kind
def test_the_inverse_undoes_the_stack(config):
    stack = trained(config)
    z = normal("z", (2, config.width, 6, 5))

    with torch.no_grad():
        back = stack.inverse(stack(z))

    # Float32 rounding of values up to about 10, through three modules and back.
    torch.testing.assert_close(back, z, atol=2e-5, rtol=0)


@every_kind
def test_the_inverse_is_exact_to_float64_rounding(config):
    stack = trained(config).double()
    z = normal("z", (1, config.width, 6, 5)).double()

    with torch.no_grad():
        back = stack.inverse(stack(z))

    torch.testing.assert_close(back, z, atol=1e-12, rtol=0)


def test_a_module_computes_equation_5():
    config = InvertibleConfig(width=6, split=2, log_scale_bound=math.inf)
    module = fill_by_recipe(InvertibleModule(config))
    z = normal("z", (1, 6, 4, 4))

    second = z[:, 2:] + module.map_1(z[:, :2])
    first = z[:, :2] * torch.exp(module.map_2(second)) + module.map_3(second)

    torch.testing.assert_close(module(z), torch.cat([first, second], dim=1))


def test_the_log_scale_is_bounded_by_c_tanh():
    config = InvertibleConfig(width=2, modules=1, log_scale_bound=0.5)
    stack = InvertibleStack(config)
    torch.nn.init.constant_(stack.layers[0].map_2[-1].bias, 1000.0)

    out = stack(torch.ones(1, 2, 3, 3))

    torch.testing.assert_close(out[:, 0], torch.full((1, 3, 3), math.exp(0.5)))


def test_without_a_bound_large_weights_overflow_and_with_it_they_do_not():
    z = normal("z", (1, 16, 16, 16))

    outputs = {
        bound: trained(InvertibleConfig(width=16, modules=6, log_scale_bound=bound), 4.0)(z)
        for bound in (2.0, math.inf)
    }

    assert torch.isfinite(outputs[2.0]).all()
    assert not torch.isfinite(outputs[math.inf]).all()


def test_the_default_has_the_sizes_of_the_decision_table():
    stack = InvertibleStack(InvertibleConfig())

    assert sum(p.numel() for p in stack.parameters()) == 664_704
    assert sum(p.numel() for p in stack.layers[0].map_1.parameters()) == 73_856


@every_kind
def test_both_backward_forms_give_the_same_gradients(config):
    stack = trained(config).double()
    z = normal("z", (2, config.width, 6, 5)).double()
    weights = normal("weights", z.shape).double()

    ordinary = gradients(stack, z, weights, "ordinary")
    rebuilt = gradients(stack, z, weights, "reconstruct")

    assert stack.reconstruction_error < 1e-12
    for one, other in zip(ordinary, rebuilt, strict=True):
        torch.testing.assert_close(other, one, atol=1e-10, rtol=1e-10)


@every_kind
def test_both_backward_forms_agree_to_float32_rounding(config):
    stack = trained(config)
    z = normal("z", (2, config.width, 6, 5))
    weights = normal("weights", z.shape)

    ordinary = gradients(stack, z, weights, "ordinary")
    rebuilt = gradients(stack, z, weights, "reconstruct")

    for one, other in zip(ordinary, rebuilt, strict=True):
        # Each gradient sums products of values up to about 10: rounding relative to the largest.
        torch.testing.assert_close(other, one, atol=2e-5 * float(one.abs().max()), rtol=0)


def test_what_differs_in_float32_comes_from_kinks_alone():
    """A rebuilt unit may fall on the other side of a LeakyReLU's kink; SiLU has none."""
    stack = trained(InvertibleConfig(width=32, modules=6))
    for module in stack.layers:
        for mapping in (module.map_1, module.map_2, module.map_3):
            mapping[1] = torch.nn.SiLU()
    z, weights = normal("z", (1, 32, 32, 32)), normal("weights", (1, 32, 32, 32))

    ordinary = gradients(stack, z, weights, "ordinary")
    rebuilt = gradients(stack, z, weights, "reconstruct")

    for one, other in zip(ordinary, rebuilt, strict=True):
        torch.testing.assert_close(other, one, atol=5e-6 * float(one.abs().max()), rtol=0)


def test_the_rebuilding_backward_passes_gradcheck():
    stack = trained(InvertibleConfig(width=4, modules=2, mix="conv1x1")).double()
    stack.backward_form = "reconstruct"
    z = normal("z", (1, 4, 3, 3)).double().requires_grad_()

    assert torch.autograd.gradcheck(
        lambda z, *_: stack(z), (z, *stack.parameters()), fast_mode=True
    )


def test_a_frozen_stack_sends_the_gradient_through_and_keeps_none():
    stack = trained(KINDS[0]).requires_grad_(False)
    z, weights = normal("z", (1, 8, 6, 5)), normal("weights", (1, 8, 6, 5))
    grads = []

    for form in ("ordinary", "reconstruct"):
        stack.backward_form = form
        leaf = z.clone().requires_grad_()
        (stack(leaf) * weights).sum().backward()
        grads.append(leaf.grad)

    torch.testing.assert_close(grads[1], grads[0], atol=1e-4, rtol=1e-4)
    assert all(p.grad is None for p in stack.parameters())


def test_the_input_needs_no_gradient_for_the_weights_to_get_theirs():
    stack = trained(KINDS[0])
    stack.backward_form = "reconstruct"

    stack(normal("z", (1, 8, 6, 5))).square().sum().backward()

    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in stack.parameters())


def test_a_reconstruction_beyond_the_limit_falls_back_to_the_ordinary_gradients(caplog):
    """Eight modules with weights doubled lose float32 entirely (facts i.3)."""
    config = InvertibleConfig(width=16, modules=8, mix="reverse")
    stack = trained(config, gain=2.0)
    z, weights = normal("z", (1, 16, 16, 16)), normal("weights", (1, 16, 16, 16))

    ordinary = gradients(stack, z, weights, "ordinary")
    with caplog.at_level(logging.WARNING, logger="hfdiff.nn.invertible"):
        rebuilt = gradients(stack, z, weights, "reconstruct")

    assert stack.reconstruction_error > RECONSTRUCTION_LIMIT
    assert "repeated the ordinary way" in caplog.text
    for one, other in zip(ordinary, rebuilt, strict=True):
        assert torch.equal(other, one)


def test_a_reconstruction_that_is_not_a_number_falls_back_too(caplog):
    stack = trained(InvertibleConfig(width=8, modules=6, log_scale_bound=math.inf), gain=6.0)
    stack.backward_form = "reconstruct"

    with caplog.at_level(logging.WARNING, logger="hfdiff.nn.invertible"):
        stack(10 * normal("z", (1, 8, 6, 5))).sum().backward()

    assert math.isnan(stack.reconstruction_error)
    assert "repeated the ordinary way" in caplog.text


def test_a_backward_pass_after_the_weights_changed_is_refused():
    stack = trained(KINDS[0])
    stack.backward_form = "reconstruct"
    loss = stack(normal("z", (1, 8, 6, 5))).sum()

    with torch.no_grad():
        next(stack.parameters()).add_(1)

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("side", [16, 96])
def test_under_autocast_the_state_is_float32_and_both_forms_agree(side):
    """In a large state some rebuilt numbers round to others of bfloat16: the fallback serves."""
    stack = trained(InvertibleConfig(width=16))
    z, weights = normal("z", (1, 16, side, side)), normal("weights", (1, 16, side, side))
    grads = []

    for form in ("ordinary", "reconstruct"):
        stack.backward_form = form
        leaf = z.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = stack(leaf)
        (out * weights).sum().backward()
        grads.append(leaf.grad)

    assert out.dtype == torch.float32
    assert stack.reconstruction_error <= RECONSTRUCTION_LIMIT or torch.equal(*grads)
    # bfloat16 has 8 bits: 0.4 % of a product.
    torch.testing.assert_close(grads[1], grads[0], atol=0.02 * float(grads[0].abs().max()), rtol=0)


def test_the_fallback_warns_once(caplog):
    stack = trained(InvertibleConfig(width=16, modules=8, mix="reverse"), gain=2.0)
    z = normal("z", (1, 16, 16, 16))

    with caplog.at_level(logging.WARNING, logger="hfdiff.nn.invertible"):
        for _ in range(3):
            gradients(stack, z, z, "reconstruct")

    assert caplog.text.count("repeated the ordinary way") == 1


def test_rebuilding_needs_memory_that_does_not_grow_with_the_modules():
    def peak(modules: int, form: str) -> int:
        stack = trained(InvertibleConfig(width=16, modules=modules))
        stack.backward_form = form
        z = normal("z", (1, 16, 64, 64)).requires_grad_()
        return peak_bytes(lambda: stack(z).sum().backward())

    rebuilt, ordinary = ([peak(k, form) for k in (2, 8)] for form in ("reconstruct", "ordinary"))

    parameters = 6 * sum(p.nbytes for p in trained(InvertibleConfig(width=16)).parameters()) / 3
    assert rebuilt[1] - rebuilt[0] <= 1.05 * parameters  # the gradients of six more modules
    assert ordinary[1] > 3 * ordinary[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"modules": 0}, "modules must be at least 1, got 0"),
        ({"width": 8, "split": 8}, "split must leave channels in both parts of 8, got 8"),
        ({"log_scale_bound": 0.0}, r"log_scale_bound must be above 0, got 0\.0"),
        ({"log_scale_bound": math.nan}, "log_scale_bound must be above 0, got nan"),
    ],
)
def test_impossible_sizes_are_refused(options, words):
    with pytest.raises(SettingsError, match=words):
        InvertibleConfig(**options)
