"""Protocols: the named ways in which published tables were measured (facts k.1, k.2).

All share the definitions of `hfdiff.metrics.table`; a protocol says which of them, on what.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A named way to compute a table's numbers.

    Attributes:
        name: As users write it.
        metrics: Keys of METRICS, in the order of the published table.
        pictures: What is compared.
        source: Whose script it is.
    """

    name: str
    metrics: tuple[str, ...]
    pictures: str
    source: str


PROTOCOLS: Mapping[str, Protocol] = {
    "osediff": Protocol(
        name="osediff",
        metrics=("psnr_y", "ssim_y", "lpips", "dists", "niqe"),
        pictures="8-bit RGB files as saved, no border cut, no resizing; sets of 512x512 crops",
        source="OSEDiff, test_metrics.py with pyiqa 0.1.10",
    ),
    "sinsr": Protocol(
        name="sinsr",
        metrics=("psnr_y", "ssim_y", "lpips"),
        pictures="8-bit RGB files as saved, no border cut, no resizing; sets at full size",
        source="SinSR, evaluate.py with pyiqa",
    ),
}


def as_saved(picture_01: Tensor) -> Tensor:
    """A picture in [0, 1] with the values that an 8-bit file of it would have.

    Every protocol measures files; for a tensor that never became one (validation in training) this
    is the difference. A quarter of a grey level off everywhere reads as 60 dB; as a file, as equal.
    """
    return (picture_01.clamp(0, 1) * 255).round() / 255
