"""What happens to one sample, drawn first and applied later (facts f.2, f.3).

A ``Decisions`` is a list of steps with every number in it, the seeds of the noise too, so that a
recorded run can be repeated to the bit: ``core.settings.to_json`` writes it as one line of JSON,
``decisions_from`` reads it. It does not depend on the size of the picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from hfdiff.core.errors import SettingsError
from hfdiff.core.settings import validate
from hfdiff.degradation.config import (
    DegradationConfig,
    Mixture,
    Range,
    ResizeMode,
    Shape,
)
from hfdiff.degradation.kernels import GaussianKernel, Kernel, SincKernel, UnsharpKernel

T = TypeVar("T")
# Sinc kernels below this size are not given cutoffs that they cannot express.
_SMALL_SINC = 13


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Filter by a kernel."""

    kind: Literal["blur"] = "blur"
    kernel: Kernel


@dataclass(frozen=True, kw_only=True)
class Resize:
    """Interpolate to ``factor`` times the current sides, or times the sides of the lq."""

    kind: Literal["resize"] = "resize"
    mode: ResizeMode
    factor: float
    of: Literal["current", "lq"]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Add noise that follows from ``seed``.

    Attributes:
        level: Gaussian: standard deviation in levels of 255. Poisson: factor on the noise.
        gray: Whether all channels get the same.
    """

    kind: Literal["noise"] = "noise"
    law: Literal["gaussian", "poisson"]
    level: float
    gray: bool
    seed: int


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """Compress by JPEG of a quality above 0, at most 100."""

    kind: Literal["jpeg"] = "jpeg"
    quality: float
    exact_tables: bool


Step: TypeAlias = Blur | Resize | Noise | Jpeg


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """The steps from gt to lq, in order; gt's sides are ``scale`` times those of the lq."""

    scale: int
    steps: tuple[Step, ...]


def decisions_from(values: Any, where: str) -> Decisions:
    """Decisions from what JSON gave.

    Raises:
        SettingsError: naming ``where`` and what does not fit.
    """
    if not isinstance(values, dict):
        raise SettingsError(f"{where}: decisions must be a mapping, got {type(values).__name__}")
    return validate(values, Decisions, where)


def decide(degradation: DegradationConfig | Mixture, *, rng: np.random.Generator) -> Decisions:
    """Draw everything for one sample on its own."""
    config = _config_of(degradation, rng)
    return _sample(config, _structure(config, rng), rng)


def decide_batch(
    degradation: DegradationConfig | Mixture, batch: int, *, rng: np.random.Generator
) -> tuple[Decisions, ...]:
    """Draw for a batch as published: one order, one set of resizes and kinds of noise for all.

    Kernels, levels, gray flags and qualities are still each sample's own. Gray Gaussian noise is
    one map for the whole batch, which its common seed says.
    """
    config = _config_of(degradation, rng)
    structure = _structure(config, rng)
    samples = [_sample(config, structure, rng) for _ in range(batch)]
    return tuple(_with_gray_seeds(sample, samples[0]) for sample in samples)


@dataclass(frozen=True, kw_only=True)
class _Structure:
    """What a published batch has in common."""

    resize: tuple[Resize, ...]
    law: Literal["gaussian", "poisson"] | None
    jpeg: bool
    second: bool
    blur2: bool
    resize2: tuple[Resize, ...]
    law2: Literal["gaussian", "poisson"] | None
    final: Resize
    sinc_before_jpeg: bool
    jpeg2: bool


def _config_of(
    degradation: DegradationConfig | Mixture, rng: np.random.Generator
) -> DegradationConfig:
    if isinstance(degradation, DegradationConfig):
        return degradation
    parts = degradation.parts
    return _pick([part.config for part in parts], [part.share for part in parts], rng)


def _structure(config: DegradationConfig, rng: np.random.Generator) -> _Structure:
    return _Structure(
        resize=_resize(config, config.resize_prob, config.resize_range, "current", rng),
        law=_law(config.noise_prob, config.gaussian_noise_prob, rng),
        jpeg=_happens(config.jpeg_prob, rng),
        second=_happens(config.second_order_prob, rng),
        blur2=_happens(config.second_blur_prob, rng),
        resize2=_resize(config, config.resize_prob2, config.resize_range2, "lq", rng),
        law2=_law(config.noise_prob2, config.gaussian_noise_prob2, rng),
        final=Resize(mode=_mode(config, rng), factor=1.0, of="lq"),
        sinc_before_jpeg=_happens(0.5, rng),
        jpeg2=_happens(config.jpeg_prob2, rng),
    )


def _sample(
    config: DegradationConfig, structure: _Structure, rng: np.random.Generator
) -> Decisions:
    steps = [*_first_stage(config, structure, rng)]
    if structure.second:
        steps += _second_stage(config, structure, rng)
    steps += _final_stage(config, structure, rng)
    return Decisions(scale=config.scale, steps=tuple(steps))


def _first_stage(
    config: DegradationConfig, structure: _Structure, rng: np.random.Generator
) -> list[Step]:
    steps: list[Step] = [Blur(kernel=draw_kernel(config, rng=rng)), *structure.resize]
    levels = config.noise_range, config.poisson_scale_range
    steps += _noise(structure.law, levels, config.gray_noise_prob, rng)
    if structure.jpeg:
        steps.append(_jpeg(config.jpeg_range, config, rng))
    return steps


def _second_stage(
    config: DegradationConfig, structure: _Structure, rng: np.random.Generator
) -> list[Step]:
    blur: list[Step] = [Blur(kernel=draw_kernel2(config, rng=rng))] if structure.blur2 else []
    levels = config.noise_range2, config.poisson_scale_range2
    return [
        *blur,
        *structure.resize2,
        *_noise(structure.law2, levels, config.gray_noise_prob2, rng),
    ]


def _final_stage(
    config: DegradationConfig, structure: _Structure, rng: np.random.Generator
) -> list[Step]:
    """Shrink, ring and sharpen, then compress; or compress before the three."""
    shrink: list[Step] = [structure.final]
    if _happens(config.final_sinc_prob, rng):
        shrink.append(Blur(kernel=_final_sinc(config, rng)))
    # Nothing is drawn where there is none: published records keep their draws.
    if config.unsharp_prob and _happens(config.unsharp_prob, rng):
        shrink.append(Blur(kernel=_unsharp(config, rng)))
    compress: list[Step] = [_jpeg(config.jpeg_range2, config, rng)] if structure.jpeg2 else []
    return [*shrink, *compress] if structure.sinc_before_jpeg else [*compress, *shrink]


# Kernels -----------------------------------------------------------------------------------------


def draw_kernel(config: DegradationConfig, *, rng: np.random.Generator) -> Kernel:
    """A kernel of the first stage."""
    size = _odd_below(config.blur_kernel_size, rng)
    if _happens(config.sinc_prob, rng):
        return _sinc(size, rng)
    shape = _pick(config.kernel_list, config.kernel_prob, rng)
    betas = config.betap_range if shape.startswith("plateau") else config.betag_range
    return _gaussian(shape, size, config.blur_sigma, betas, rng)


def draw_kernel2(config: DegradationConfig, *, rng: np.random.Generator) -> Kernel:
    """A kernel of the second stage."""
    first = replace(
        config,
        blur_kernel_size=config.blur_kernel_size2,
        kernel_list=config.kernel_list2,
        kernel_prob=config.kernel_prob2,
        sinc_prob=config.sinc_prob2,
        blur_sigma=config.blur_sigma2,
        betag_range=config.betag_range2,
        betap_range=config.betap_range2,
    )
    return draw_kernel(first, rng=rng)


def _gaussian(
    shape: Shape, size: int, sigmas: Range, betas: Range, rng: np.random.Generator
) -> GaussianKernel:
    sigma_x, sigma_y, rotation = rng.uniform(*sigmas), None, 0.0
    if shape.endswith("aniso"):
        sigma_y, rotation = rng.uniform(*sigmas), rng.uniform(-math.pi, math.pi)
    beta = 1.0
    if shape not in ("iso", "aniso"):
        beta = rng.uniform(betas[0], 1.0) if _happens(0.5, rng) else rng.uniform(1.0, betas[1])
    return GaussianKernel(
        shape=shape, size=size, sigma_x=sigma_x, sigma_y=sigma_y, rotation=rotation, beta=beta
    )


def _sinc(size: int, rng: np.random.Generator) -> SincKernel:
    lowest = math.pi / 3 if size < _SMALL_SINC else math.pi / 5
    return SincKernel(size=size, cutoff=rng.uniform(lowest, math.pi))


def _final_sinc(config: DegradationConfig, rng: np.random.Generator) -> SincKernel:
    size = _odd_below(config.blur_kernel_size2, rng)
    return SincKernel(size=size, cutoff=rng.uniform(math.pi / 3, math.pi))


def _unsharp(config: DegradationConfig, rng: np.random.Generator) -> UnsharpKernel:
    sigma, amount = rng.uniform(*config.unsharp_sigma), rng.uniform(*config.unsharp_amount)
    return UnsharpKernel(sigma=sigma, amount=amount)


def _odd_below(limit: int, rng: np.random.Generator) -> int:
    return 3 + 2 * int(rng.integers((limit - 3) // 2))


# Other draws -------------------------------------------------------------------------------------


def _resize(
    config: DegradationConfig,
    prob: tuple[float, float, float],
    factors: Range,
    of: Literal["current", "lq"],
    rng: np.random.Generator,
) -> tuple[Resize, ...]:
    way = _pick(("up", "down", "keep"), prob, rng)
    factor = 1.0
    if way == "up":
        factor = rng.uniform(1.0, factors[1])
    elif way == "down":
        factor = rng.uniform(factors[0], 1.0)
    mode = _mode(config, rng)
    # Keeping the current size is no step at all; keeping that of the lq is.
    return () if way == "keep" and of == "current" else (Resize(mode=mode, factor=factor, of=of),)


def _mode(config: DegradationConfig, rng: np.random.Generator) -> ResizeMode:
    return config.resize_modes[int(rng.integers(len(config.resize_modes)))]


def _law(
    noise_prob: float, gaussian_prob: float, rng: np.random.Generator
) -> Literal["gaussian", "poisson"] | None:
    if not _happens(noise_prob, rng):
        return None
    return "gaussian" if _happens(gaussian_prob, rng) else "poisson"


def _noise(
    law: Literal["gaussian", "poisson"] | None,
    levels: tuple[Range, Range],
    gray_prob: float,
    rng: np.random.Generator,
) -> list[Noise]:
    if law is None:
        return []
    level = rng.uniform(*levels[0 if law == "gaussian" else 1])
    gray = _happens(gray_prob, rng)
    return [Noise(law=law, level=level, gray=gray, seed=int(rng.integers(2**63)))]


def _jpeg(quality: Range, config: DegradationConfig, rng: np.random.Generator) -> Jpeg:
    return Jpeg(quality=rng.uniform(*quality), exact_tables=config.exact_tables)


def _with_gray_seeds(sample: Decisions, first: Decisions) -> Decisions:
    """The sample with the first sample's seed in every step of gray Gaussian noise."""
    seeds = iter([step.seed for step in first.steps if isinstance(step, Noise)])
    steps: list[Step] = []
    for step in sample.steps:
        if isinstance(step, Noise):
            seed = next(seeds)
            shared = step.gray and step.law == "gaussian"
            steps.append(replace(step, seed=seed) if shared else step)
        else:
            steps.append(step)
    return replace(sample, steps=tuple(steps))


def _happens(probability: float, rng: np.random.Generator) -> bool:
    return bool(rng.random() < probability)


def _pick(options: Sequence[T], shares: Sequence[float], rng: np.random.Generator) -> T:
    edges = np.cumsum(shares)
    place = int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))
    return options[min(place, len(options) - 1)]
