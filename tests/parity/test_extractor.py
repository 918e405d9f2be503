"""Our invertible modules against CDDFuse's three coupling nodes (extractor_inn.npz, facts i.1)."""

import json
import math

import numpy as np
import pytest
import torch

from hfdiff.nn.invertible import InvertibleConfig, InvertibleStack
from support import recipe_tensor, reference

pytestmark = pytest.mark.parity

CDDFUSE = InvertibleConfig(
    width=64, maps="inverted_residual", mix="conv1x1", log_scale_bound=math.inf
)
# Values reach 73; the recorded code and an independent one agree to 2.8e-5 in float64.
NOISE = {"atol": 1e-4, "rtol": 0}


@pytest.fixture(scope="module")
def recorded():
    return np.load(reference("extractor_inn.npz"))


@pytest.fixture(scope="module")
def stack(recorded) -> InvertibleStack:
    """The package's class in CDDFuse's configuration, with the weights of the recorded run."""
    shapes = json.loads(bytes(recorded["keys_json"]))
    stack = InvertibleStack(CDDFUSE)
    # The recipe here has no special rule for biases: it is that of `recipe_tensor`.
    stack.load_state_dict({ours(key): recipe_tensor(key, shape) for key, shape in shapes.items()})
    return stack.requires_grad_(False)


def ours(key: str) -> str:
    """``net.0.theta_phi.bottleneckBlock.0.weight`` -> ``layers.0.map_1.0.weight``."""
    key = (
        key.replace("net.", "layers.").replace(".bottleneckBlock", "").replace("shffleconv", "mix")
    )
    for number, name in enumerate(("phi", "rho", "eta"), start=1):
        key = key.replace(f"theta_{name}", f"map_{number}")
    return key


def test_the_configuration_of_cddfuse_has_its_parameters(stack):
    assert sum(p.numel() for p in stack.parameters()) == 54_528


def test_every_module_gives_the_recorded_halves(recorded, stack):
    z = torch.from_numpy(recorded["x"])

    for number, module in enumerate(stack.layers):
        z = module(z)

        expected = [torch.from_numpy(recorded[f"{half}_layer{number}"]) for half in ("z1", "z2")]
        torch.testing.assert_close(z, torch.cat(expected, dim=1), **NOISE)


def test_the_stack_gives_the_recorded_output(recorded, stack):
    out = stack(torch.from_numpy(recorded["x"]))

    torch.testing.assert_close(out, torch.from_numpy(recorded["out"]), **NOISE)


def test_the_maps_and_the_mixing_give_the_recorded_outputs_alone(recorded, stack):
    block = stack.layers[0].map_1(torch.from_numpy(recorded["irb_in"]))
    mixed = stack.layers[0].mix(torch.from_numpy(recorded["x"]))

    torch.testing.assert_close(block, torch.from_numpy(recorded["irb_out"]), atol=1e-5, rtol=0)
    expected = torch.from_numpy(recorded["shuffle_out_layer0"])
    torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=0)


def test_the_inverse_returns_the_recorded_input_in_float64(recorded, stack):
    """Condition numbers of 130, 53 and 213 in the three mixings leave nothing of float32."""
    double = InvertibleStack(CDDFUSE).double()
    double.load_state_dict(stack.state_dict())
    x = torch.from_numpy(recorded["x"]).double()

    with torch.no_grad():
        back = double.inverse(double(x))

    torch.testing.assert_close(back, x, atol=1e-8, rtol=0)
