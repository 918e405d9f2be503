"""The named degradations."""

from collections.abc import Mapping
from dataclasses import replace

from hfdiff.core.errors import SettingsError
from hfdiff.degradation.config import DegradationConfig, Mixture, Part

# SinSR and ResShift training (facts f.0): the defaults of the configuration.
TRAINING = DegradationConfig()

# ResShift's recipe for ImageNet-Test (facts f.9): one gentle stage, then the final step.
IMAGENET_TEST = DegradationConfig(
    blur_kernel_size=13,
    kernel_list=("iso", "aniso"),
    kernel_prob=(0.6, 0.4),
    sinc_prob=0.1,
    blur_sigma=(0.2, 0.8),
    betag_range=(0.5, 1.5),
    betap_range=(1.0, 1.2),
    blur_kernel_size2=7,
    final_sinc_prob=0.2,
    resize_prob=(0.2, 0.7, 0.1),
    resize_range=(0.5, 1.5),
    noise_range=(1.0, 15.0),
    poisson_scale_range=(0.05, 0.3),
    gray_noise_prob=0.4,
    jpeg_range=(70.0, 95.0),
    second_order_prob=0.0,
    jpeg_range2=(80.0, 100.0),
)

# Ours, for pictures as cameras give them: the blur of a lens, one shrinking that antialiases,
# noise and compression at the size of the lq. The first stage blurs, the second does the rest.
MILD = DegradationConfig(
    kernel_list=("iso", "aniso"),
    kernel_prob=(0.6, 0.4),
    sinc_prob=0.0,
    blur_sigma=(0.3, 2.5),
    resize_prob=(0.0, 0.0, 1.0),
    resize_modes=("area", "bicubic_antialias"),
    noise_prob=0.0,
    jpeg_prob=0.0,
    second_order_prob=1.0,
    second_blur_prob=0.0,
    resize_prob2=(0.0, 0.0, 1.0),
    gaussian_noise_prob2=1.0,
    noise_range2=(0.0, 5.0),
    final_sinc_prob=0.0,
    jpeg_prob2=0.5,
    jpeg_range2=(75.0, 100.0),
    exact_tables=True,
)

# Ours, for pictures looked at pixel by pixel: what a lens, a shake and a camera's own smoothing
# leave is as wide as a pixel of the lq, which a picture shrunk for the web (MILD) never is, and its
# own sharpening overshoots at edges, as sinc kernels and unsharp masks do.
CAMERA = replace(MILD, blur_sigma=(1.5, 4.5), final_sinc_prob=0.4, unsharp_prob=0.4)

PRESETS: Mapping[str, DegradationConfig | Mixture] = {
    "training": TRAINING,
    "imagenet_test": IMAGENET_TEST,
    "mild": MILD,
    "camera": CAMERA,
    "mixed": Mixture(parts=(Part(share=0.5, config=MILD), Part(share=0.5, config=TRAINING))),
    "photographs": Mixture(
        parts=(
            Part(share=0.25, config=MILD),
            Part(share=0.4, config=CAMERA),
            Part(share=0.35, config=TRAINING),
        )
    ),
}


def preset(name: str, *, scale: int = 4) -> DegradationConfig | Mixture:
    """A named degradation for one scale.

    Raises:
        SettingsError: for an unknown name.
    """
    if name not in PRESETS:
        known = ", ".join(PRESETS)
        raise SettingsError(f"no degradation preset {name!r}", hint=f"known presets: {known}")
    found = PRESETS[name]
    if isinstance(found, DegradationConfig):
        return replace(found, scale=scale)
    parts = tuple(replace(part, config=replace(part.config, scale=scale)) for part in found.parts)
    return Mixture(parts=parts)
