"""From noise to a clean latent: ancestral, deterministic, its inverse, and one step (facts b).

Plain functions over a `Denoiser`. Where normals come from is the caller's: a `DrawNoise` gives the
k-th draw of a run, of which number 0 is the start. Gradients flow unless the caller stops them.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from hfdiff.core.errors import SettingsError
from hfdiff.diffusion.denoiser import Denoiser

OnState = Callable[[int, Tensor, Tensor], None]
"""Told (i, state after the call at index i, its x_0 prediction) after every network call."""


class DrawNoise(Protocol):
    """Where a run's standard normal noise comes from."""

    def __call__(self, k: int, like: Tensor) -> Tensor:
        """The k-th draw of the run, with the shape, dtype and device of ``like``."""


def noise_from(generator: torch.Generator) -> DrawNoise:
    """Noise drawn in order from a generator, in float32 on the generator's device."""

    def draw(k: int, like: Tensor) -> Tensor:  # noqa: ARG001  (a generator knows its place)
        device = generator.device
        return torch.randn(like.shape, generator=generator, device=device).to(like)

    return draw


def recorded_noise(*draws: Tensor) -> DrawNoise:
    """Noise that is already there: the k-th tensor is the k-th draw."""

    def draw(k: int, like: Tensor) -> Tensor:
        return draws[k].to(like)

    return draw


def sample_ancestral(
    denoiser: Denoiser,
    y: Tensor,
    lq_pm1: Tensor,
    *,
    noise: DrawNoise,
    on_state: OnState | None = None,
) -> Tensor:
    """Sample every posterior on the way from x_T to x_0 (ResShift, facts b.1).

    Args:
        denoiser: Network and chain; one network call per index.
        y: Latent of the lq ``[B, C, h, w]``.
        lq_pm1: Condition ``[B, 3, h', w']``.
        noise: Draw 0 is the start, draws 1 .. S-1 the steps; the step to x_0 has none.
        on_state: Told of every state.

    Returns:
        x_0 ``[B, C, h, w]``.
    """
    schedule = denoiser.schedule
    x_t = schedule.prior(y, noise(0, y))
    for k, i in enumerate(reversed(range(schedule.steps)), start=1):
        x_0 = denoiser.predict_x_0(x_t, i, lq_pm1)
        x_t = schedule.posterior_mean(x_t, x_0, i)
        if i > 0:
            x_t = x_t + float(schedule.posterior_variance[i]) ** 0.5 * noise(k, x_t)
        if on_state is not None:
            on_state(i, x_t, x_0)
    return x_t


def sample_deterministic(
    denoiser: Denoiser,
    y: Tensor,
    lq_pm1: Tensor,
    *,
    noise: DrawNoise,
    on_state: OnState | None = None,
) -> Tensor:
    """Follow the deterministic path from x_T to x_0 (paper Eq. 2, SinSR, facts b.2).

    Arguments and result as in `sample_ancestral`, with one draw only.
    """
    schedule = denoiser.schedule
    x_t = schedule.prior(y, noise(0, y))
    for i in reversed(range(schedule.steps)):
        x_0 = denoiser.predict_x_0(x_t, i, lq_pm1)
        x_t = schedule.deterministic_step(x_t, x_0, y, i)
        if on_state is not None:
            on_state(i, x_t, x_0)
    return x_t


def invert_deterministic(
    denoiser: Denoiser,
    x_0: Tensor,
    y: Tensor,
    lq_pm1: Tensor,
    *,
    on_state: OnState | None = None,
) -> Tensor:
    """Follow the deterministic path backwards, from a clean latent to its x_T (facts b.3).

    Each step asks the network about the OLD state with the NEW index, and never clips; so this is
    close to, not exactly, the inverse of `sample_deterministic`. No noise is drawn.

    Args:
        denoiser: Network and chain; S-1 network calls.
        x_0: Clean latent ``[B, C, h, w]``, taken as the state of index 0.
        y: Latent of the lq, same shape.
        lq_pm1: Condition ``[B, 3, h', w']``.
        on_state: Told of every state.
    """
    x = x_0
    for i in range(1, denoiser.schedule.steps):
        predicted = denoiser.predict_x_0_unclipped(x, i, lq_pm1)
        x = denoiser.schedule.inverse_step(x, predicted, y, i)
        if on_state is not None:
            on_state(i, x, predicted)
    return x


def sample_one_step(denoiser: Denoiser, y: Tensor, lq_pm1: Tensor, *, noise: DrawNoise) -> Tensor:
    """One network call at the noisiest index of the full chain (SinSR, HF-Diff; facts b.4).

    Arguments and result as in `sample_deterministic`.

    Raises:
        SettingsError: for a chain that lost the noisiest index by respacing.
    """
    schedule = denoiser.schedule
    if schedule.timesteps[-1] != schedule.full_steps - 1:
        raise SettingsError(
            f"one step needs index {schedule.full_steps - 1} of the full chain; this one ends at "
            f"{schedule.timesteps[-1]}",
            hint="use the full schedule, or respace it with spacing trailing",
        )
    x_T = schedule.prior(y, noise(0, y))
    return denoiser.predict_x_0(x_T, schedule.steps - 1, lq_pm1)
