"""What the autoencoder makes of the user's own pictures, said before the first step (users 2.55).

Teacher and student only see latents: no model is sharper than what its autoencoder gives back.
"""

import logging
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from hfdiff.data.batches import Batch, PairBatches
from hfdiff.imaging.pixels import clamped_01_from_pm1
from hfdiff.metrics.psnr import psnr_y

_log = logging.getLogger(__name__)
_LOOKED_AT = 8
_POOR = 25.0  # dB: below it, the autoencoder has not learned pictures of this kind


@runtime_checkable
class HasAutoencoder(Protocol):
    """A stage that has an autoencoder from the start."""

    def reconstructed(self, batch: Batch) -> Tensor | None:
        """decode(encode_gt(gt), lq), ``[B, 3, H, W]`` about [-1, 1]; None: not trained yet."""


def say_ceiling(stage: object, batches: PairBatches, device: torch.device) -> None:
    """Say how well a stage's autoencoder gives the first training patches back."""
    if not isinstance(stage, HasAutoencoder):
        return
    batch = batches.first_pairs(_LOOKED_AT).to(device)
    picture_pm1 = stage.reconstructed(batch)
    if picture_pm1 is None:
        return
    pair = [clamped_01_from_pm1(each).cpu() for each in (picture_pm1, batch.gt_pm1)]
    scores = psnr_y(pair[0], pair[1])
    mean, worst = float(scores.mean()), int(scores.argmin())
    _log.info(
        "data: the autoencoder gives %d patches back at %.1f dB PSNR-Y, at worst %.1f dB (%s): "
        "nothing that is trained on it will be sharper",
        len(batch),
        mean,
        float(scores[worst]),
        batch.names[worst],
    )
    if mean < _POOR:
        _log.warning(
            "data: that is little: train the autoencoder on pictures of this kind first "
            "(hfdiff train autoencoder, with start=)"
        )
