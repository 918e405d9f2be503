"""Invertible modules psi of the high-frequency extractor (HF-Diff Eq. 5; facts i.1 to i.3).

With z[1:n] the first channels and z[n+1:N] the rest, one module computes

    z[n+1:N] <- z[n+1:N] + I_1(z[1:n])
    z[1:n]   <- z[1:n] * exp(s(I_2(z[n+1:N]))) + I_3(z[n+1:N])     with the new z[n+1:N],

and is undone by the same maps in the opposite order. s bounds the log-scale, so that exp cannot
overflow; without a bound it is Eq. 5 to the letter. The state is float32 (or better) whatever
autocast says; only the maps' convolutions follow autocast.

Two backward forms give equal gradients: the ordinary one, and one that keeps a stack's input and
output and rebuilds everything between from the output, so that memory does not grow with K.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfdiff.core.errors import SettingsError

RECONSTRUCTION_LIMIT = 1e-3
"""Largest reconstruction error, in units of the input's rms, that a backward pass accepts."""

Maps = Literal["two_layer", "inverted_residual"]
Mix = Literal["none", "reverse", "conv1x1"]
BackwardForm = Literal["ordinary", "reconstruct"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class InvertibleConfig:
    """A stack of invertible modules.

    Attributes:
        width: Channels N of the state.
        modules: Their number K, which the paper does not give.
        split: Channels n of the first part; None: half of them.
        maps: What I_1..I_3 are: ``two_layer`` CNNs (paper 3.3), or the ``inverted_residual``
            blocks of the network that Eq. 5 comes from.
        mix: What happens to the channels before each module: nothing (Eq. 5), their order is
            reversed, or a learned 1x1 convolution, which is invertible only if its matrix is.
        log_scale_bound: c of c tanh(I_2 / c); ``inf`` is Eq. 5 to the letter.
    """

    width: int = 128
    modules: int = 3
    split: int | None = None
    maps: Maps = "two_layer"
    mix: Mix = "none"
    log_scale_bound: float = 2.0

    def __post_init__(self) -> None:
        if self.modules < 1:
            raise SettingsError(f"modules must be at least 1, got {self.modules}")
        if not 1 <= self.first < self.width:
            raise SettingsError(
                f"split must leave channels in both parts of {self.width}, got {self.first}"
            )
        if not self.log_scale_bound > 0:
            raise SettingsError(f"log_scale_bound must be above 0, got {self.log_scale_bound}")

    @property
    def first(self) -> int:
        """Channels of the first part, n."""
        return self.width // 2 if self.split is None else self.split


class InvertibleModule(nn.Module):
    """One module psi_k; fresh, it changes nothing but the channels' order or mix."""

    def __init__(self, config: InvertibleConfig) -> None:
        super().__init__()
        first, second = config.first, config.width - config.first
        self.first = first
        self.bound = config.log_scale_bound
        self.mix = _mixing(config.mix, config.width)
        self.map_1 = _mapping(config.maps, first, second)
        self.map_2 = _mapping(config.maps, second, first)
        self.map_3 = _mapping(config.maps, second, first)

    def forward(self, z: Tensor) -> Tensor:
        """``[B, N, H, W]`` in float32 or better to the same."""
        first, second = self._parts(self.mix(z))
        second = second + self.map_1(first).to(z.dtype)
        log_scale, shift = self._scale_and_shift(second)
        return torch.cat([first * log_scale.exp() + shift, second], dim=1)

    def inverse(self, z: Tensor) -> Tensor:
        """What `forward` made ``z`` of, up to rounding."""
        first, second = self._parts(z)
        log_scale, shift = self._scale_and_shift(second)
        first = (first - shift) * (-log_scale).exp()
        second = second - self.map_1(first).to(z.dtype)
        return self.mix.inverse(torch.cat([first, second], dim=1))

    def step_back(self, z: Tensor, grad: Tensor, grads: "_Gradients") -> tuple[Tensor, Tensor]:
        """One module of a backward pass that knows the output only.

        Every map runs once: what `inverse` needs of it is what its gradient is taken through.

        Args:
            z: The module's output, without gradient.
            grad: Gradient with respect to it.
            grads: Where the gradients of the parameters go.

        Returns:
            The module's input and the gradient with respect to it.
        """
        first, second = self._parts(z)
        grad_first, grad_second = self._parts(grad)

        with _leaf(second) as second:
            log_scale, shift = self._scale_and_shift(second)
        scale = log_scale.detach().exp()
        first = (first - shift.detach()) / scale
        through = {log_scale: grad_first * first * scale, shift: grad_first}
        grad_second = grad_second + grads.collect(through, second, (self.map_2, self.map_3))
        grad_first = grad_first * scale

        with _leaf(first) as first:
            added = self.map_1(first).to(z.dtype)
        second = second.detach() - added.detach()
        grad_first = grad_first + grads.collect({added: grad_second}, first, (self.map_1,))

        mixed = torch.cat([first.detach(), second], dim=1)
        grad = torch.cat([grad_first, grad_second], dim=1)
        with _leaf(self.mix.inverse(mixed)) as z:
            mixed = self.mix(z)
        return z.detach(), grads.collect({mixed: grad}, z, (self.mix,))

    def _parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z[:, : self.first], z[:, self.first :]

    def _scale_and_shift(self, second: Tensor) -> tuple[Tensor, Tensor]:
        log_scale = self.map_2(second).to(second.dtype)
        if math.isfinite(self.bound):
            log_scale = self.bound * torch.tanh(log_scale / self.bound)
        return log_scale, self.map_3(second).to(second.dtype)


class InvertibleStack(nn.Module):
    """K modules psi_1..psi_K in a row.

    Attributes:
        backward_form: ``reconstruct`` rebuilds the states of a backward pass from the output. Its
            memory does not grow with K, it costs one more forward pass, and it has no second
            derivatives. Where the rebuilt input misses the true one by more than
            `RECONSTRUCTION_LIMIT` of its rms, its gradients are thrown away and taken the ordinary
            way from the kept input, and the first time a warning is logged. Maps in bfloat16 miss
            it: a state rebuilt to 1e-7 may round to another of its numbers.
        reconstruction_error: Of the last such backward pass, in units of the input's rms.
    """

    def __init__(self, config: InvertibleConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(InvertibleModule(config) for _ in range(config.modules))
        self.backward_form: BackwardForm = "ordinary"
        self.reconstruction_error: float | None = None
        self._has_warned = False

    def forward(self, z: Tensor) -> Tensor:
        """``[B, N, H, W]`` to the same shape, float32 or better; sides of at least 2."""
        z = z.to(torch.promote_types(z.dtype, torch.float32))
        if self.backward_form == "reconstruct" and torch.is_grad_enabled():
            return _Reconstructing.apply(z, self, *self.parameters())  # type: ignore[no-untyped-call]  # torch's own
        return self.plainly(z)

    def inverse(self, z: Tensor) -> Tensor:
        """The input that gives the output ``z``, up to rounding."""
        for module in reversed(self._chain):
            z = module.inverse(z)
        return z

    def plainly(self, z: Tensor) -> Tensor:
        """`forward` in its ordinary form."""
        for module in self._chain:
            z = module(z)
        return z

    def rebuilt_gradients(
        self, z_in: Tensor, z_out: Tensor, grad: Tensor, wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        """Gradients of the input and of every parameter, from the output.

        Args:
            z_in: The stack's input, to measure the reconstruction against.
            z_out: Its output.
            grad: Gradient with respect to it.
            wanted: Which of the input and the parameters need a gradient.
        """
        targets = [p for p, need in zip(self.parameters(), wanted[1:], strict=True) if need]
        grads = _Gradients(targets)
        z, backwards = z_out, grad
        for module in reversed(self._chain):
            z, backwards = module.step_back(z, backwards, grads)
        self.reconstruction_error = _error(z, z_in)
        if self.reconstruction_error <= RECONSTRUCTION_LIMIT:  # False for NaN
            return [backwards if wanted[0] else None, *map(grads.of, self.parameters())]
        # Once is enough to be noticed; a run may have thousands.
        _log.log(
            logging.DEBUG if self._has_warned else logging.WARNING,
            "invertible modules: the backward pass rebuilt its input to %.1e only (limit %.0e) "
            "and is repeated the ordinary way, with the memory that takes",
            self.reconstruction_error,
            RECONSTRUCTION_LIMIT,
        )
        self._has_warned = True
        return self._recomputed_gradients(z_in, grad, wanted)

    @property
    def _chain(self) -> list[InvertibleModule]:
        return cast(list[InvertibleModule], list(self.layers))

    def _recomputed_gradients(
        self, z_in: Tensor, grad: Tensor, wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        with _leaf(z_in) as z:
            z_out = self.plainly(z)
        everything = [z, *self.parameters()]
        chosen = [tensor for tensor, need in zip(everything, wanted, strict=True) if need]
        found = iter(torch.autograd.grad(z_out, chosen, grad))
        return [next(found) if need else None for need in wanted]


class _Reconstructing(torch.autograd.Function):
    """A whole stack as one step of autograd; see `InvertibleStack`."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, stack: InvertibleStack, *parameters: Tensor) -> Tensor:
        z_out = stack.plainly(z)
        # The parameters cost nothing here: kept so that autograd refuses a backward pass after
        # they were changed in place.
        ctx.save_for_backward(z, z_out, *parameters)
        ctx.stack = stack
        device = z.device.type
        ctx.dtype, ctx.enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        return z_out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        z_in, z_out, *_ = ctx.saved_tensors
        needs_z, _, *needs_parameters = ctx.needs_input_grad
        wanted = [needs_z, *needs_parameters]
        with torch.no_grad(), torch.autocast(z_in.device.type, ctx.dtype, enabled=ctx.enabled):
            found = ctx.stack.rebuilt_gradients(z_in, z_out, grad, wanted)
        return found[0], None, *found[1:]


class _Gradients:
    """Gradients of parameters, gathered while a backward pass goes from module to module."""

    def __init__(self, wanted: Sequence[nn.Parameter]) -> None:
        self._wanted = {id(parameter) for parameter in wanted}
        self._found: dict[int, Tensor] = {}

    def collect(self, through: dict[Tensor, Tensor], leaf: Tensor, maps: Iterable[Any]) -> Tensor:
        """Pull gradients of outputs back to ``leaf``, which is returned, and to maps' parameters.

        Args:
            through: Output and gradient with respect to it.
            leaf: What the outputs were computed from.
            maps: What computed them.
        """
        parameters = [p for m in maps for p in m.parameters() if id(p) in self._wanted]
        targets = [leaf, *parameters]
        grad, *rest = torch.autograd.grad(list(through), targets, list(through.values()))
        self._found.update(zip(map(id, parameters), rest, strict=True))
        return grad

    def of(self, parameter: nn.Parameter) -> Tensor | None:
        """The gradient of a parameter; None where none was wanted."""
        return self._found.get(id(parameter))


class _leaf:  # noqa: N801  (used like a function)
    """A tensor as the start of a small graph, which is recorded inside the ``with``."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor.detach().requires_grad_()
        self._grad = torch.enable_grad()

    def __enter__(self) -> Tensor:
        self._grad.__enter__()
        return self._tensor

    def __exit__(self, *reason: Any) -> None:
        self._grad.__exit__(*reason)


class _NoMix(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z

    def inverse(self, z: Tensor) -> Tensor:
        return z


class _Reverse(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z.flip(1)

    def inverse(self, z: Tensor) -> Tensor:
        return z.flip(1)


class _Mix1x1(nn.Conv2d):
    """A learned 1x1 convolution of the state, orthogonal when fresh; never in half precision."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 1)
        nn.init.orthogonal_(self.weight.view(width, width))
        nn.init.zeros_(self._bias)

    def forward(self, z: Tensor) -> Tensor:
        # Rounding here could not be undone: the state stays in its own precision.
        with torch.autocast(z.device.type, enabled=False):
            return F.conv2d(z, self.weight, self._bias)

    def inverse(self, z: Tensor) -> Tensor:
        width = self.in_channels
        # In float64 on the CPU, which every device can be served from.
        matrix = self.weight.detach().cpu().double().view(width, width).inverse()
        kernel = matrix.to(z.device, z.dtype).view(width, width, 1, 1)
        with torch.autocast(z.device.type, enabled=False):
            return F.conv2d(z - self._bias.view(1, width, 1, 1), kernel)

    @property
    def _bias(self) -> Tensor:
        assert self.bias is not None  # it is made with one
        return self.bias


def _mixing(kind: Mix, width: int) -> _NoMix | _Reverse | _Mix1x1:
    match kind:
        case "none":
            return _NoMix()
        case "reverse":
            return _Reverse()
        case "conv1x1":
            return _Mix1x1(width)


def _mapping(kind: Maps, inputs: int, outputs: int) -> nn.Sequential:
    layers = _two_layers(inputs, outputs) if kind == "two_layer" else _bottleneck(inputs, outputs)
    # A zero last layer makes a fresh module the identity: the safe start (facts i.3).
    for parameter in layers[-1].parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(*layers)


def _two_layers(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, inputs, 3, padding=1, padding_mode="reflect"),
        nn.LeakyReLU(0.2),
        nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect"),
    ]


def _bottleneck(inputs: int, outputs: int) -> list[nn.Module]:
    """The block of facts i.1: 1x1 to twice the width, 3x3 per channel, 1x1; no skip, no bias."""
    wide = 2 * inputs
    return [
        nn.Conv2d(inputs, wide, 1, bias=False),
        nn.ReLU6(),
        nn.ReflectionPad2d(1),
        nn.Conv2d(wide, wide, 3, groups=wide, bias=False),
        nn.ReLU6(),
        nn.Conv2d(wide, outputs, 1, bias=False),
    ]


def _error(rebuilt: Tensor, true: Tensor) -> float:
    rms = true.square().mean().sqrt().clamp_min(torch.finfo(true.dtype).tiny)
    return float((rebuilt - true).abs().amax() / rms)
