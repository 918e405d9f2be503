"""What a synthetic degradation may do: probabilities and ranges under the names that all share.

The keys are those of Real-ESRGAN, ResShift and SinSR configurations (``2`` marks the second
stage); the defaults are the published training values (facts f.0).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hfdiff.core.errors import SettingsError

Shape: TypeAlias = Literal[
    "iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"
]
ResizeMode: TypeAlias = Literal["area", "bilinear", "bicubic", "bicubic_antialias"]
Range: TypeAlias = tuple[float, float]

_SHAPES: tuple[Shape, ...] = (
    "iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso",
)  # fmt: skip
_SHAPE_PROB = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
_PUBLISHED_MODES: tuple[ResizeMode, ...] = ("area", "bilinear", "bicubic")


@dataclass(frozen=True, kw_only=True)
class DegradationConfig:
    """One synthetic degradation from gt to lq: up to two stages and a final step (facts f.2).

    Attributes:
        scale: gt side over lq side (``sf`` elsewhere).
        blur_kernel_size: Odd; kernels of 3, 5, ... up to two below it are drawn.
        kernel_list: Kinds of kernels.
        kernel_prob: Their probabilities.
        sinc_prob: Probability of a sinc kernel instead.
        blur_sigma: Standard deviation in pixels, for both axes.
        betag_range: Exponent of generalized kernels: U(lo, 1) or U(1, hi), half each.
        betap_range: Exponent of plateau kernels, drawn likewise.
        resize_prob: Probabilities of up, down, keep.
        resize_range: Smallest and largest factor; the second stage's are relative to the lq.
        resize_modes: Interpolations, equally likely, of all resizes.
        noise_prob: Probability of any noise in this stage.
        gaussian_noise_prob: Probability that the noise is Gaussian, else it is Poisson.
        noise_range: Gaussian standard deviation in levels of 255.
        poisson_scale_range: Factor on the Poisson noise.
        gray_noise_prob: Probability that the noise is the same in all channels.
        jpeg_prob: Probability that the first stage ends with JPEG.
        jpeg_range: Its quality, above 0 and at most 100.
        second_order_prob: Probability of the second stage.
        second_blur_prob: Probability that it blurs.
        final_sinc_prob: Probability of a sinc kernel at the end.
        unsharp_prob: Probability of an unsharp mask after it; not published.
        unsharp_sigma: Standard deviation of its blur, lq pixels.
        unsharp_amount: What it adds of the picture's difference to that blur.
        jpeg_prob2: Probability of the final JPEG.
        jpeg_range2: Quality of the final JPEG.
        exact_tables: Quantise as JPEG does; off, luminance has the published transposed table.
    """

    scale: int = 4
    blur_kernel_size: int = 21
    kernel_list: tuple[Shape, ...] = _SHAPES
    kernel_prob: tuple[float, ...] = _SHAPE_PROB
    sinc_prob: float = 0.1
    blur_sigma: Range = (0.2, 3.0)
    betag_range: Range = (0.5, 4.0)
    betap_range: Range = (1.0, 2.0)
    blur_kernel_size2: int = 15
    kernel_list2: tuple[Shape, ...] = _SHAPES
    kernel_prob2: tuple[float, ...] = _SHAPE_PROB
    sinc_prob2: float = 0.1
    blur_sigma2: Range = (0.2, 1.5)
    betag_range2: Range = (0.5, 4.0)
    betap_range2: Range = (1.0, 2.0)
    final_sinc_prob: float = 0.8
    unsharp_prob: float = 0.0
    unsharp_sigma: Range = (0.5, 1.2)
    unsharp_amount: Range = (0.2, 1.0)
    resize_prob: tuple[float, float, float] = (0.2, 0.7, 0.1)
    resize_range: Range = (0.15, 1.5)
    resize_modes: tuple[ResizeMode, ...] = _PUBLISHED_MODES
    noise_prob: float = 1.0
    gaussian_noise_prob: float = 0.5
    noise_range: Range = (1.0, 30.0)
    poisson_scale_range: Range = (0.05, 3.0)
    gray_noise_prob: float = 0.4
    jpeg_prob: float = 1.0
    jpeg_range: Range = (30.0, 95.0)
    second_order_prob: float = 0.5
    second_blur_prob: float = 0.8
    resize_prob2: tuple[float, float, float] = (0.3, 0.4, 0.3)
    resize_range2: Range = (0.3, 1.2)
    noise_prob2: float = 1.0
    gaussian_noise_prob2: float = 0.5
    noise_range2: Range = (1.0, 25.0)
    poisson_scale_range2: Range = (0.05, 2.5)
    gray_noise_prob2: float = 0.4
    jpeg_prob2: float = 1.0
    jpeg_range2: Range = (30.0, 95.0)
    exact_tables: bool = False

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise SettingsError(f"scale must be at least 1, got {self.scale}")
        for name, value in vars(self).items():
            if "blur_kernel_size" in name and (value < 5 or value % 2 == 0):
                raise SettingsError(f"{name} must be odd and at least 5, got {value}")
            if name.rstrip("2") in ("resize_prob", "kernel_prob"):
                _check_shares(name, value)
            elif name.rstrip("2").endswith("_prob") and not 0 <= value <= 1:
                raise SettingsError(f"{name} must lie in [0, 1], got {value}")
            if isinstance(value, tuple) and not value:
                raise SettingsError(f"{name} must not be empty")
        self._check_lengths()
        self._check_ranges()

    def _check_lengths(self) -> None:
        for end in ("", "2"):
            kinds, shares = getattr(self, f"kernel_list{end}"), getattr(self, f"kernel_prob{end}")
            if len(kinds) != len(shares):
                raise SettingsError(
                    f"kernel_list{end} has {len(kinds)} entries, kernel_prob{end} {len(shares)}"
                )

    def _check_ranges(self) -> None:
        """Order and limits; resize and beta ranges must hold 1, from where both ways are drawn."""
        for end in ("", "2"):
            _check_range(self, f"blur_sigma{end}", above=0)
            for name in ("betag_range", "betap_range", "resize_range"):
                _check_range(self, name + end, above=0, around=1)
            _check_range(self, f"noise_range{end}")
            _check_range(self, f"poisson_scale_range{end}")
            _check_range(self, f"jpeg_range{end}", above=0, most=100)
        _check_range(self, "unsharp_sigma", above=0)
        _check_range(self, "unsharp_amount")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One degradation of a mixture and its share."""

    share: float
    config: DegradationConfig


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Several degradations, one of which is drawn for each sample; all of one scale."""

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        _check_shares("the shares of a mixture", [part.share for part in self.parts])
        if len({part.config.scale for part in self.parts}) != 1:
            raise SettingsError("the degradations of a mixture must have one scale")

    @property
    def scale(self) -> int:
        """Side of gt over side of lq."""
        return self.parts[0].config.scale


def _check_shares(name: str, shares: Sequence[float]) -> None:
    if min(shares, default=0) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise SettingsError(f"{name} must not be negative and sum to 1, got {list(shares)}")


def _check_range(
    config: DegradationConfig,
    name: str,
    *,
    above: float = -1.0,
    most: float = float("inf"),
    around: float | None = None,
) -> None:
    low, high = getattr(config, name)
    if not (max(above, 0) <= low <= high <= most) or low == above:
        limit = f"{'above' if above >= 0 else 'from'} 0" + (f" to {most:g}" * (most < 1e9))
        raise SettingsError(f"{name} must rise and lie {limit}, got [{low}, {high}]")
    if around is not None and not low <= around <= high:
        raise SettingsError(f"{name} must hold {around:g}, got [{low}, {high}]")
