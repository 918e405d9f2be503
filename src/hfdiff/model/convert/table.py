"""The published weight files that are known: what they hold and under which licence (facts g)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hfdiff.diffusion.schedule import ScheduleConfig
from hfdiff.model.convert.published import Kind

FIFTEEN_STEPS = ScheduleConfig(steps=15, min_noise=0.04)
FOUR_STEPS = ScheduleConfig(steps=4, min_noise=0.2)

RESSHIFT_LICENCE = "S-Lab License 1.0 (non-commercial)"
SINSR_LICENCE = "CC BY-NC-SA 4.0"
AUTOENCODER_LICENCE = (
    "code of latent-diffusion: MIT; weights as distributed by the ResShift project, "
    "S-Lab License 1.0 (non-commercial)"
)


@dataclass(frozen=True, kw_only=True)
class Release:
    """One published file.

    Attributes:
        name: Short name, for model files.
        kind: Which network it holds.
        licence: Licence of the weights, written into what is made from them.
        source: Project and paper that published it.
        role: Whether a denoising network takes one step or a chain; None for the autoencoder.
        schedule: The schedule it was trained with; None for the autoencoder.
    """

    name: str
    kind: Kind
    licence: str
    source: str
    role: Literal["student", "teacher"] | None = None
    schedule: ScheduleConfig | None = None


def _teacher(name: str, schedule: ScheduleConfig) -> Release:
    return Release(
        name=name,
        kind="unet",
        licence=RESSHIFT_LICENCE,
        source="ResShift (arXiv 2307.12348), github.com/zsyOAOA/ResShift",
        role="teacher",
        schedule=schedule,
    )


def _student(name: str) -> Release:
    return Release(
        name=name,
        kind="unet",
        licence=SINSR_LICENCE,
        source="SinSR (arXiv 2311.14760), github.com/wyf0912/SinSR",
        role="student",
        schedule=FIFTEEN_STEPS,
    )


RELEASES: Mapping[str, Release] = {
    "resshift_realsrx4_s15_v1.pth": _teacher("ResShift_v1", FIFTEEN_STEPS),
    "resshift_realsrx4_s15_v2.pth": _teacher("ResShift_v2", FIFTEEN_STEPS),
    "resshift_realsrx4_s4_v3.pth": _teacher("ResShift_v3", FOUR_STEPS),
    "resshift_bicsrx4_s4.pth": _teacher("ResShift_bicubic", FOUR_STEPS),
    "SinSR_v1.pth": _student("SinSR_v1"),
    "SinSR_v2.pth": _student("SinSR_v2"),
    "autoencoder_vq_f4.pth": Release(
        name="VQ_f4",
        kind="autoencoder",
        licence=AUTOENCODER_LICENCE,
        source="latent-diffusion (arXiv 2112.10752), as distributed by github.com/zsyOAOA/ResShift",
    ),
}
"""Release file name to what it holds. A file's name says its schedule; its weights do not."""

UNSUPPORTED: Mapping[str, str] = {
    "resshift_faceir_s4.pth": "face restoration, another network",
    "resshift_inpainting_imagenet_s4.pth": "inpainting, another network",
    "resshift_inpainting_face_s4.pth": "inpainting, another network",
}
"""Published files of other tasks, which no network here fits."""
