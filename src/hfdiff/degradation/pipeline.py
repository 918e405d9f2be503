"""Applying decisions: from gt to lq, one sample or a batch whose samples differ (facts f.2).

Steps that several samples have in common at one size are computed together; a sample's result
does not depend on its company beyond the last bits of float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.degradation import noise
from hfdiff.degradation.decisions import Blur, Decisions, Jpeg, Noise, Resize, Step
from hfdiff.degradation.filters import filter_2d
from hfdiff.degradation.jpeg import ANNEX_K_LUMINANCE, TRANSPOSED_LUMINANCE, jpeg
from hfdiff.degradation.kernels import padded, weights
from hfdiff.degradation.resize import resize_by, resize_to

S = TypeVar("S", bound=Step)


@torch.no_grad()
def degrade(
    gt_01: Tensor,
    decisions: Decisions | Sequence[Decisions],
    *,
    draws: Sequence[Sequence[Tensor]] | None = None,
) -> Tensor:
    """Apply decisions to gt.

    Args:
        gt_01: ``[3, H, W]`` with one ``Decisions``, or ``[B, 3, H, W]`` with B of them; RGB float
            in [0, 1]. Kernels reach up to 10 pixels (7 of the shrunk picture), so sides should
            be at least 64.
        decisions: From ``decide``, ``decide_batch`` or a record.
        draws: What the noise steps of each sample shall use instead of their seeds, in order:
            standard normals or Poisson counts, ``[3, h, w]``, or ``[1, h, w]`` where gray.

    Returns:
        lq_01 ``[3, H // scale, W // scale]``, batched like gt; rounded to multiples of 1/255.

    Raises:
        ImageError: when gt is smaller than the scale or a kernel needs.
        SettingsError: when the numbers of pictures, decisions and draws disagree.
    """
    if isinstance(decisions, Decisions):
        if gt_01.ndim != 3:
            raise SettingsError("a batch of gt needs a sequence of decisions, one a picture")
        return degrade(gt_01[None], [decisions], draws=draws)[0]
    if gt_01.ndim != 4 or gt_01.shape[1] != 3:
        raise ImageError(f"gt_01 must have the shape [B, 3, H, W], got {list(gt_01.shape)}")
    if len(decisions) != len(gt_01) or (draws is not None and len(draws) != len(gt_01)):
        raise SettingsError(f"{len(gt_01)} pictures need as many decisions and lists of draws")
    lists = [None] * len(gt_01) if draws is None else [[*one] for one in draws]
    samples = [
        _Sample(picture=picture, steps=one.steps, lq_sides=_lq_sides(picture, one), draws=given)
        for picture, one, given in zip(gt_01, decisions, lists, strict=True)
    ]
    while group := _next_group(samples):
        _advance(group)
    lq = torch.stack([sample.picture for sample in samples])
    return (lq * 255).round().clamp(0, 255) / 255


@dataclass
class _Sample:
    """One sample on its way."""

    picture: Tensor  # [3, h, w]
    steps: tuple[Step, ...]
    lq_sides: tuple[float, float]
    draws: list[Tensor] | None
    done: int = 0

    @property
    def left(self) -> int:
        return len(self.steps) - self.done

    @property
    def step(self) -> Step:
        return self.steps[self.done]

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for samples whose next step can be computed together."""
        size = tuple(self.picture.shape[1:])
        match self.step:
            case Blur():
                return ("blur", size)
            case Resize(mode=mode, factor=factor, of=of):
                return ("resize", size, mode, factor, of, self.lq_sides)
            case Noise(law=law, gray=gray):
                return ("noise", size, law, gray)
            case Jpeg(exact_tables=exact):
                return ("jpeg", size, exact)


def _lq_sides(gt_01: Tensor, decisions: Decisions) -> tuple[float, float]:
    """Sides of the lq before they are cut to whole pixels: further factors act on these."""
    H, W = gt_01.shape[-2:]
    if min(H, W) < decisions.scale:
        raise ImageError(f"gt must be at least {decisions.scale} pixels a side, got {W}x{H}")
    return H / decisions.scale, W / decisions.scale


def _next_group(samples: list[_Sample]) -> list[_Sample]:
    """The sample that has most before it, and all others that are about to do the same.

    Those who are ahead wait for the others, so that the last steps, at one size, meet.
    """
    pending = [sample for sample in samples if sample.left]
    if not pending:
        return []
    last = max(pending, key=lambda sample: sample.left)
    return [sample for sample in pending if sample.key == last.key]


def _advance(group: list[_Sample]) -> None:
    batch = apply_step(
        torch.stack([sample.picture for sample in group]),
        [sample.step for sample in group],
        lq_sides=group[0].lq_sides,
        draws=_draws_of(group),
    )
    for sample, picture in zip(group, batch, strict=True):
        sample.picture = picture
        sample.done += 1


def apply_step(
    batch: Tensor,
    steps: Sequence[Step],
    *,
    lq_sides: tuple[float, float],
    draws: Tensor | None = None,
) -> Tensor:
    """One step of B samples of one size, all of one kind.

    Args:
        batch: ``[B, 3, h, w]``; values may leave [0, 1] between steps.
        steps: B steps. Resizes must be equal; noise must agree in law and gray, JPEG in tables.
        lq_sides: gt's height and width over the scale, not rounded.
        draws: For noise: normals or counts ``[B, 3 or 1, h, w]`` instead of the seeds'.
    """
    match steps[0]:
        case Blur():
            return filter_2d(batch, _kernels(_all(steps, Blur)))
        case Resize(of="current", factor=factor, mode=mode):
            return resize_by(batch, factor, mode)
        case Resize(factor=factor, mode=mode):
            height, width = (int(side * factor) for side in lq_sides)
            return resize_to(batch, height, width, mode)
        case Noise(law=law):
            add = _add_gaussian if law == "gaussian" else _add_poisson
            return add(batch, _all(steps, Noise), draws)
        case Jpeg(exact_tables=exact):
            quality = batch.new_tensor([step.quality for step in _all(steps, Jpeg)])
            table = ANNEX_K_LUMINANCE if exact else TRANSPOSED_LUMINANCE
            return jpeg(batch.clamp(0, 1), quality, luminance=table)


def _kernels(steps: list[Blur]) -> Tensor:
    """Kernels of a group ``[B, k, k]`` float32, all as large as the largest."""
    largest = max(step.kernel.size for step in steps)
    every = [padded(weights(step.kernel), largest) for step in steps]
    return torch.from_numpy(np.stack(every).astype(np.float32))


def _add_gaussian(batch: Tensor, steps: list[Noise], draws: Tensor | None) -> Tensor:
    if draws is None:
        channels = 1 if steps[0].gray else 3
        draws = noise.draw_normal([step.seed for step in steps], channels, batch)
    return noise.add_gaussian(batch, draws, _levels(steps, batch))


def _add_poisson(batch: Tensor, steps: list[Noise], draws: Tensor | None) -> Tensor:
    rounded, white = noise.photon_picture(batch, grey=steps[0].gray)
    if draws is None:
        draws = noise.draw_poisson([step.seed for step in steps], rounded * white)
    return noise.add_poisson(batch, rounded, white, draws, _levels(steps, batch))


def _levels(steps: list[Noise], like: Tensor) -> Tensor:
    return like.new_tensor([step.level for step in steps])


def _all(steps: Sequence[Step], kind: type[S]) -> list[S]:
    return [step for step in steps if isinstance(step, kind)]


def _draws_of(group: list[_Sample]) -> Tensor | None:
    """The next recorded draws of a group, or None where the seeds shall be used."""
    if not isinstance(group[0].step, Noise):
        return None
    given = [sample.draws.pop(0) for sample in group if sample.draws is not None]
    return torch.stack(given).to(group[0].picture) if given else None
