"""The shifting sequence of ResShift and everything that follows from it (facts a).

Index convention: 0 is the least noisy index, T-1 the start of sampling (the paper's "T"); the
paper's "t = 0" of the inverse direction is index 0. There is no index for the clean latent, and
eta of index -1 is 0. All sequences are float64 on the CPU; a coefficient is cast where it is used.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import torch
from torch import Tensor

from hfdiff.core.errors import SettingsError

InputScaling = Literal["latent", "pixel", "none"]
Spacing = Literal["trailing", "published"]


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The numbers of a schedule, as model files hold them; the defaults are the 15-step setting.

    Args:
        steps: T, at least 2.
        sqrt_eta_end: sqrt(eta) of index T-1 (the originals' ``etas_end``; eta is its square).
        min_noise: Smallest noise; sqrt(eta) of index 0 is min(min_noise / kappa, min_noise).
        power: Exponent that bends the exponential.
        kappa: Noise strength.
        input_scaling: How the noisy latent is scaled before a network sees it (facts a.3):
            ``latent`` by sqrt(kappa^2 eta + 1), ``pixel`` by 3 kappa sqrt(eta) + 1, or ``none``.
    """

    steps: int = 15
    sqrt_eta_end: float = 0.99
    min_noise: float = 0.04
    power: float = 0.3
    kappa: float = 2.0
    input_scaling: InputScaling = "latent"

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise SettingsError(f"a schedule needs at least 2 steps, got {self.steps}")
        if self.kappa <= 0 or self.power <= 0:
            raise SettingsError(
                f"kappa and power must be positive, got {self.kappa} and {self.power}"
            )
        if not 0 < self.sqrt_eta_start < self.sqrt_eta_end <= 1:
            raise SettingsError(
                f"sqrt(eta) must rise from above 0 to at most 1, "
                f"got {self.sqrt_eta_start} to {self.sqrt_eta_end}"
            )

    @property
    def sqrt_eta_start(self) -> float:
        """sqrt(eta) of index 0."""
        return min(self.min_noise / self.kappa, self.min_noise)


@dataclass(frozen=True, kw_only=True, eq=False)
class ShiftSchedule:
    """eta_t, kappa and all that is computed from them, for a full or a respaced chain.

    Args:
        sqrt_eta: sqrt(eta) of each index, float64 ``[S]``, rising.
        kappa: Noise strength.
        timesteps: For each index the index of the full chain; this is what networks are given.
        full_steps: T of the full chain.
        input_scaling: See `ScheduleConfig`.
    """

    sqrt_eta: Tensor
    kappa: float
    timesteps: tuple[int, ...]
    full_steps: int
    input_scaling: InputScaling = "latent"

    @classmethod
    def exponential(
        cls,
        steps: int = 15,
        *,
        sqrt_eta_end: float = 0.99,
        min_noise: float = 0.04,
        power: float = 0.3,
        kappa: float = 2.0,
        input_scaling: InputScaling = "latent",
    ) -> Self:
        """Build the published kind of schedule (facts a.1); the defaults are the 15-step one.

        Raises:
            SettingsError: when the numbers cannot make a rising sequence.
        """
        return cls.from_config(
            ScheduleConfig(
                steps=steps,
                sqrt_eta_end=sqrt_eta_end,
                min_noise=min_noise,
                power=power,
                kappa=kappa,
                input_scaling=input_scaling,
            )
        )

    @classmethod
    def from_config(cls, config: ScheduleConfig) -> Self:
        """sqrt(eta_i) = s (e / s) ^ ((i / (T-1)) ^ power) with s, e its first and last value."""
        start, end = config.sqrt_eta_start, config.sqrt_eta_end
        position = torch.arange(config.steps, dtype=torch.float64) / (config.steps - 1)
        return cls(
            sqrt_eta=start * (end / start) ** (position**config.power),
            kappa=config.kappa,
            timesteps=tuple(range(config.steps)),
            full_steps=config.steps,
            input_scaling=config.input_scaling,
        )

    def respaced(self, steps: int, spacing: Spacing = "trailing") -> "ShiftSchedule":
        """A shorter chain that remembers which indices of this one its networks are given.

        Args:
            steps: Length of the short chain, 1 to the length of this one.
            spacing: ``trailing`` keeps the noisiest index T-1 (spec 4.5); ``published`` keeps
                int((T / steps) x), which loses it (facts a.4).

        Raises:
            SettingsError: when ``steps`` is out of range.
        """
        if not 1 <= steps <= self.steps:
            raise SettingsError(f"steps must lie in 1..{self.steps}, got {steps}")
        kept = _kept(self.steps, steps, spacing)
        return ShiftSchedule(
            sqrt_eta=self.sqrt_eta[kept],
            kappa=self.kappa,
            timesteps=tuple(self.timesteps[i] for i in kept),
            full_steps=self.full_steps,
            input_scaling=self.input_scaling,
        )

    @property
    def steps(self) -> int:
        """Number of indices of this chain."""
        return len(self.timesteps)

    @cached_property
    def eta(self) -> Tensor:
        """How far the latent has moved to the degraded one, per index; float64 ``[S]``."""
        return self.sqrt_eta**2

    @cached_property
    def eta_previous(self) -> Tensor:
        """The eta of the index before; 0 before index 0."""
        return torch.cat([self.eta.new_zeros(1), self.eta[:-1]])

    @cached_property
    def alpha(self) -> Tensor:
        """eta_i - eta_{i-1}."""
        return self.eta - self.eta_previous

    @cached_property
    def posterior_x_t(self) -> Tensor:
        """Weight of x_t in the mean of q(x_{t-1} | x_t, x_0, y) (facts a.2)."""
        return self.eta_previous / self.eta

    @cached_property
    def posterior_x_0(self) -> Tensor:
        """Weight of x_0 in the mean of q(x_{t-1} | x_t, x_0, y) (facts a.2)."""
        return self.alpha / self.eta

    @cached_property
    def posterior_variance(self) -> Tensor:
        """Variance of q(x_{t-1} | x_t, x_0, y); 0 at index 0."""
        return self.kappa**2 * self.posterior_x_t * self.alpha

    @cached_property
    def posterior_variance_clipped(self) -> Tensor:
        """The variance with index 0 replaced by index 1 (a chain of one index keeps its 0)."""
        variance = self.posterior_variance.clone()
        variance[0] = variance[min(1, self.steps - 1)]
        return variance

    @cached_property
    def b(self) -> Tensor:
        """Weight of x_t in the deterministic step (paper Eq. 2, facts b.2)."""
        return (self.eta_previous / self.eta).sqrt()

    @cached_property
    def c(self) -> Tensor:
        """Weight of y in the deterministic step; not above 0."""
        return self.eta_previous - (self.eta_previous * self.eta).sqrt()

    @cached_property
    def a(self) -> Tensor:
        """Weight of x_0 in the deterministic step: a + b + c = 1."""
        return 1 - self.b - self.c

    @cached_property
    def mse_weight(self) -> Tensor:
        """Weight per index of the optional weighted loss (facts a.2); published settings use 1."""
        return 0.5 / self.posterior_variance_clipped * self.posterior_x_0**2

    @cached_property
    def input_stds(self) -> Tensor:
        """What the noisy latent is divided by before a network sees it, per index (facts a.3)."""
        if self.input_scaling == "latent":
            return (self.kappa**2 * self.eta + 1).sqrt()
        if self.input_scaling == "pixel":
            return 3 * self.kappa * self.sqrt_eta + 1
        return torch.ones_like(self.eta)

    @property
    def prior_std(self) -> float:
        """Standard deviation of x_T around y."""
        return self.kappa * float(self.sqrt_eta[-1])

    def input_std(self, i: int) -> float:
        """What the noisy latent of index ``i`` is divided by."""
        return float(self.input_stds[i])

    def scale_input(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        """Divide a noisy latent ``[B, C, H, W]`` by the input std of its index (or indices)."""
        return x_t / at(self.input_stds, t, x_t)

    def shift(self, x_0: Tensor, y: Tensor, t: int | Tensor, noise: Tensor) -> Tensor:
        """Move a clean latent toward the degraded one: a draw from q(x_t | x_0, y).

        ResShift Eq. 2:  x_t = x_0 + eta_t (y - x_0) + kappa sqrt(eta_t) noise

        Args:
            x_0: Clean latent ``[B, C, H, W]``.
            y: Latent of the low-quality picture, same shape.
            t: Index, one for all or int64 ``[B]``, in [0, S-1].
            noise: Standard normal, same shape; the caller draws it.
        """
        std = at(self.kappa * self.sqrt_eta, t, x_0)
        return x_0 + at(self.eta, t, x_0) * (y - x_0) + std * noise

    def prior(self, y: Tensor, noise: Tensor) -> Tensor:
        """The start of sampling, x_T = y + kappa sqrt(eta_T) noise (facts b.1).

        The term (1 - eta_T) x_0 of the forward formula is dropped: x_0 is not known.
        """
        return y + self.prior_std * noise

    def posterior_mean(self, x_t: Tensor, x_0: Tensor, i: int) -> Tensor:
        """Mean of q(x_{i-1} | x_i, x_0, y); at index 0 it is ``x_0``."""
        return at(self.posterior_x_t, i, x_t) * x_t + at(self.posterior_x_0, i, x_t) * x_0

    def deterministic_step(self, x_t: Tensor, x_0: Tensor, y: Tensor, i: int) -> Tensor:
        """x_{i-1} = a_i x_0 + b_i x_i + c_i y (paper Eq. 2); at index 0 it is ``x_0``."""
        return at(self.a, i, x_t) * x_0 + at(self.b, i, x_t) * x_t + at(self.c, i, x_t) * y

    def inverse_step(self, x: Tensor, x_0: Tensor, y: Tensor, i: int) -> Tensor:
        """The state of index ``i`` >= 1 from ``x``, that of ``i - 1`` (facts b.3)."""
        return (x - at(self.a, i, x) * x_0 - at(self.c, i, x) * y) / at(self.b, i, x)


def at(values: Tensor, t: int | Tensor, like: Tensor) -> Tensor | float:
    """Look up per-index ``values`` so that the result multiplies ``like`` of ``[B, C, H, W]``.

    One index gives a number, indices ``[B]`` give ``[B, 1, 1, 1]`` on the device and in the dtype
    of ``like``; the cast from float64 is the last thing that happens.
    """
    if isinstance(t, int):
        return float(values[t])
    return values.to(t.device)[t].to(like).view(-1, *[1] * (like.ndim - 1))


def _kept(length: int, steps: int, spacing: Spacing) -> list[int]:
    if spacing == "trailing":
        return [length - 1 - length * (steps - 1 - j) // steps for j in range(steps)]
    return [int((length / steps) * j) for j in range(steps)]
