"""Kernels: Gaussian, generalized Gaussian and plateau blurs, the sinc of ringing, unsharp masks.

Formulas: facts f.4. A kernel is its parameters; ``weights`` gives the numbers in float64. Grid:
x runs along columns, y along rows, from the centre.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hfdiff.core.errors import SettingsError
from hfdiff.degradation.config import Shape

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GaussianKernel:
    """A bell: plain, with a heavier or lighter tail (generalized) or a flat top (plateau).

    Attributes:
        shape: Its kind.
        size: Odd side in pixels.
        sigma_x: Standard deviation along the first axis, pixels.
        sigma_y: Along the second; isotropic shapes have only the first.
        rotation: Of the axes, radians; isotropic shapes have none.
        beta: Exponent of generalized and plateau shapes.
    """

    kind: Literal["gaussian"] = "gaussian"
    shape: Shape
    size: int
    sigma_x: float
    sigma_y: float | None = None
    rotation: float = 0.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        _check_size(self.size)


@dataclass(frozen=True, kw_only=True)
class SincKernel:
    """An ideal low-pass filter, cut to a square: it rings as over-sharpened pictures do.

    Attributes:
        size: Odd side in pixels.
        cutoff: Highest frequency that passes, radians a pixel, at most pi.
    """

    kind: Literal["sinc"] = "sinc"
    size: int
    cutoff: float

    def __post_init__(self) -> None:
        _check_size(self.size)


@dataclass(frozen=True, kw_only=True)
class UnsharpKernel:
    """The picture plus ``amount`` times its difference to a Gaussian blur of itself.

    Attributes:
        sigma: Standard deviation of that blur, pixels; it is cut at three of them.
        amount: 0: nothing changes; a camera's own sharpening is about 0.2 to 1.
    """

    kind: Literal["unsharp"] = "unsharp"
    sigma: float
    amount: float

    @property
    def size(self) -> int:
        """Odd side in pixels."""
        return 2 * math.ceil(3 * self.sigma) + 1


@dataclass(frozen=True, kw_only=True)
class GivenKernel:
    """A kernel by its numbers, for example a measured one; used as it is.

    Attributes:
        values: Rows of an odd square.
    """

    kind: Literal["given"] = "given"
    values: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        _check_size(self.size)
        if any(len(row) != self.size for row in self.values):
            raise SettingsError(f"a given kernel of {self.size} rows must have as many columns")

    @property
    def size(self) -> int:
        """Odd side in pixels."""
        return len(self.values)


Kernel: TypeAlias = GaussianKernel | SincKernel | UnsharpKernel | GivenKernel


def weights(kernel: Kernel) -> Array:
    """The kernel as ``[size, size]`` float64; a drawn one sums to one."""
    if isinstance(kernel, GivenKernel):
        return np.array(kernel.values, np.float64)
    if isinstance(kernel, UnsharpKernel):
        return _unsharp(kernel)
    values = _sinc(kernel) if isinstance(kernel, SincKernel) else _bell(kernel)
    return values / values.sum()


def padded(values: Array, size: int) -> Array:
    """A kernel with zeros around it, up to an odd ``size``."""
    return np.pad(values, (size - values.shape[-1]) // 2)


def bessel_j1(x: Array) -> Array:
    """Bessel function of the first kind, order one, to about 1e-15.

    Its integral (1/pi) int_0^pi cos(s - x sin s) ds has a smooth periodic integrand, for which
    the trapezoid rule converges faster than any power once it has more nodes than ``x`` is large.
    """
    count = int(np.abs(x).max(initial=0.0)) + 40
    nodes = np.linspace(0.0, math.pi, count + 1)
    integrand = np.cos(nodes - np.asarray(x, np.float64)[..., None] * np.sin(nodes))
    integrand[..., [0, -1]] *= 0.5
    return integrand.sum(-1) / count


def _check_size(size: int) -> None:
    if size < 1 or size % 2 == 0:
        raise SettingsError(f"the size of a kernel must be odd, got {size}")


def _grid(size: int) -> tuple[Array, Array]:
    axis = np.arange(size, dtype=np.float64) - (size - 1) / 2
    return axis[None, :], axis[:, None]


def _bell(kernel: GaussianKernel) -> Array:
    distance = _squared_distance(kernel)
    if kernel.shape.startswith("plateau"):
        return 1 / (1 + distance**kernel.beta)
    if kernel.shape.startswith("generalized"):
        return np.exp(-0.5 * distance**kernel.beta)
    return np.exp(-0.5 * distance)


def _squared_distance(kernel: GaussianKernel) -> Array:
    """(u / sigma_x)^2 + (v / sigma_y)^2 on the rotated axes."""
    x, y = _grid(kernel.size)
    if not kernel.shape.endswith("aniso"):
        return (x**2 + y**2) / kernel.sigma_x**2
    sigma_y = kernel.sigma_x if kernel.sigma_y is None else kernel.sigma_y
    cos, sin = math.cos(kernel.rotation), math.sin(kernel.rotation)
    u = (x * cos + y * sin) / kernel.sigma_x
    v = (y * cos - x * sin) / sigma_y
    return u**2 + v**2


def _sinc(kernel: SincKernel) -> Array:
    """Values w J1(w r) / (2 pi r), and w^2 / (4 pi) at the centre."""
    x, y = _grid(kernel.size)
    # Many points share a distance, and J1 is the dear part.
    squares, places = np.unique(x**2 + y**2, return_inverse=True)
    radius = np.sqrt(squares[1:])
    outer = kernel.cutoff * bessel_j1(kernel.cutoff * radius) / (2 * math.pi * radius)
    values = np.concatenate(([kernel.cutoff**2 / (4 * math.pi)], outer))
    return values[places].reshape(kernel.size, kernel.size)


def _unsharp(kernel: UnsharpKernel) -> Array:
    size = kernel.size
    blur = weights(GaussianKernel(shape="iso", size=size, sigma_x=kernel.sigma))
    values = -kernel.amount * blur
    values[size // 2, size // 2] += 1 + kernel.amount
    return values
