"""What a run would take: pixels and tiles by counting, time and memory by trying out a little.

No weights are read and nothing is written. The machine calibrates itself on the user's own
pictures: some are decoded, four tiles or one batch of each go through networks of the model's
shape (whose numbers do not matter for that), and a piece is encoded.
"""

import math
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from hfdiff.core.errors import HFDiffError, ResourceError
from hfdiff.core.memory import peak_bytes
from hfdiff.imaging.files import encode_picture, read_picture
from hfdiff.imaging.picture import Picture
from hfdiff.imaging.pixels import samples_from_01, samples_to_01
from hfdiff.imaging.resize import enlarge_cubic
from hfdiff.model.build import build_model
from hfdiff.model.config import ModelConfig
from hfdiff.model.model_file import Description
from hfdiff.upscaling.cutting import plan_tiles
from hfdiff.upscaling.names import Job
from hfdiff.upscaling.options import UpscaleOptions, Writing
from hfdiff.upscaling.upscaler import Upscaler

_SAMPLES = 5  # pictures tried out
_TILES = 4  # of each, or a batch
_PATIENCE = 60.0  # seconds after which no further one is
_PIECE = 256  # longest side in lq pixels of what is encoded for a try
_KEPT_FREE = 20_000_000  # bytes that the allocator holds over what is used, measured on folders
# Bytes that an output pixel takes while libwebp and libaom encode it, beside the samples, which
# they want whole. Measured on 12 megapixels.
_ENCODING = {"WEBP": 26.0, "AVIF": 43.0}


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run would take.

    Attributes:
        pictures: That would be made or copied.
        megapixels_in, megapixels_out: In all.
        tiles: To be computed, in all.
        seconds: In all, from the start of the command.
        peak_memory_bytes: Of the process; 0 where this machine does not tell.
        device: Where the networks would run.
        dtype: What in.
    """

    pictures: int
    megapixels_in: float
    megapixels_out: float
    tiles: int
    seconds: float
    peak_memory_bytes: int
    device: str
    dtype: str


@dataclass(frozen=True, kw_only=True)
class _Rates:
    """What was measured: seconds per pixel, and bytes."""

    read: float
    compute: float  # per lq pixel of a tile
    encode: dict[str, float]  # per output pixel
    tile_bytes: int


def forecast(
    jobs: Iterable[Job],
    description: Description,
    options: UpscaleOptions,
    *,
    device: str,
    dtype: str,
    writing: Writing,
    began: float,
) -> Forecast:
    """Try out a little and extrapolate.

    Args:
        jobs: What would be done.
        description: The model's own.
        options: Size, steps, tiling.
        device: As for `Upscaler`.
        dtype: As for `Upscaler`.
        writing: How outputs would be encoded.
        began: `time.monotonic` of when the command began: what its start takes counts too.
    """
    jobs = list(jobs)
    config = description.config
    work = [(job, *_computed(job, options, config)) for job in jobs]
    upscaler = Upscaler(build_model(config), description, device=device, dtype=dtype)
    start = time.monotonic() - began
    base = peak_bytes()
    rates = _calibrate(_chosen(jobs), upscaler, options, writing, base)
    seconds, most = start, base
    for job, _, area in work:
        pixels, target = _area(job.size), _area(job.target_size)
        kind = job.format if job.format in rates.encode else next(iter(rates.encode), "")
        seconds += pixels * rates.read + area * rates.compute
        seconds += target * rates.encode.get(kind, 0.0)
        most = max(most, base + _held(job, options, config, rates))
    return Forecast(
        pictures=len(jobs),
        megapixels_in=sum(_area(job.size) for job in jobs) / 1e6,
        megapixels_out=sum(_area(job.target_size) for job in jobs) / 1e6,
        tiles=sum(tiles for _, tiles, _ in work),
        seconds=seconds,
        peak_memory_bytes=most if base else 0,
        device=str(upscaler.device),
        dtype=upscaler.dtype_name,
    )


def _computed(job: Job, options: UpscaleOptions, config: ModelConfig) -> tuple[int, int]:
    """Tiles of a job, and their pixels in all."""
    if job.is_kept:
        return 0, 0
    plan = plan_tiles(job.size, options, config, has_alpha=job.has_alpha)
    return len(plan), len(plan) * plan.rows.tile * plan.columns.tile


def _held(job: Job, options: UpscaleOptions, config: ModelConfig, rates: _Rates) -> int:
    """Bytes for a job: its samples, tiles at work, what is blended and encoded."""
    pixel = (3 + job.has_alpha) * (1 + job.is_deep)
    target = _area(job.target_size)
    samples = pixel * _area(job.size)
    encoding = 0
    if job.format in _ENCODING:
        samples += pixel * target
        encoding = round(target * _ENCODING[job.format])
    if job.is_kept:
        return samples + encoding
    rows = plan_tiles(job.size, options, config, has_alpha=job.has_alpha).rows
    strip = max(high - end for end, (_, high) in zip(rows.ends, rows.intervals, strict=True))
    floats = 2 * strip * 4 * (3 + job.has_alpha)  # of this row of tiles and of the one above
    return samples + max(
        rates.tile_bytes + job.target_size[0] * (rows.most_finished * pixel + floats), encoding
    )


def _chosen(jobs: list[Job]) -> list[Job]:
    """Some jobs from the smallest to the largest."""
    ordered = sorted((job for job in jobs if not job.is_kept), key=lambda job: _area(job.size))
    places = np.linspace(0, len(ordered) - 1, min(_SAMPLES, len(ordered)))
    return [ordered[round(place)] for place in places]


def _calibrate(
    jobs: list[Job], upscaler: Upscaler, options: UpscaleOptions, writing: Writing, base: int
) -> _Rates:
    read, computed = [0.0, 0.0], [0.0, 0.0]
    encoded: dict[str, list[float]] = {}
    begun = time.perf_counter()
    for job in jobs:
        if time.perf_counter() - begun > _PATIENCE:
            break
        with suppress(HFDiffError):  # a picture that is broken behind its header takes no time
            begin = time.perf_counter()
            picture = read_picture(job.source)
            _add(read, time.perf_counter() - begin, _area(job.size))
            if not computed[1]:
                _try_out(upscaler, _corner(picture, upscaler, options, tiles=1), options)
            corner = _corner(picture, upscaler, options, tiles=max(_TILES, options.batch))
            _add(computed, *_try_out(upscaler, corner, options))
            piece = _enlarged(corner, upscaler.model.scale)
            begin = time.perf_counter()
            encode_picture(piece, job.format, quality=writing.quality)
            pixels = piece.width * piece.height
            _add(encoded.setdefault(job.format, [0.0, 0.0]), time.perf_counter() - begin, pixels)
    return _Rates(
        read=_rate(read),
        compute=_rate(computed),
        encode={kind: _rate(total) for kind, total in encoded.items()},
        tile_bytes=peak_bytes() - base + _KEPT_FREE,
    )


def _corner(
    picture: Picture, upscaler: Upscaler, options: UpscaleOptions, *, tiles: int
) -> Picture:
    """The upper left corner of a picture, of so many tiles where it has them."""
    plan = upscaler.plan(picture, options)
    rows = min(math.isqrt(tiles - 1) + 1, len(plan.rows.starts))
    columns = min(-(-tiles // rows), len(plan.columns.starts))
    height = plan.rows.starts[rows - 1] + plan.rows.tile
    width = plan.columns.starts[columns - 1] + plan.columns.tile
    return replace(picture, samples=picture.samples[:height, :width])


def _try_out(upscaler: Upscaler, picture: Picture, options: UpscaleOptions) -> tuple[float, float]:
    """Seconds for a picture, and the pixels of its tiles."""
    alike = replace(options, size=None, min_size=None, max_size=None)
    plan = upscaler.plan(picture, alike)
    begin = time.perf_counter()
    with suppress(ResourceError):  # networks without weights may well answer nonsense
        upscaler.enlarge(picture, alike)
    return time.perf_counter() - begin, float(len(plan) * plan.rows.tile * plan.columns.tile)


def _enlarged(picture: Picture, scale: int) -> Picture:
    """A piece of a picture as the output would be, about."""
    piece_01 = samples_to_01(picture.samples[:_PIECE, :_PIECE])
    samples = samples_from_01(enlarge_cubic(piece_01, scale)[0], picture.samples.dtype)
    return replace(picture, samples=samples)


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _add(total: list[float], amount: float, pixels: float) -> None:
    total[0] += amount
    total[1] += pixels


def _rate(total: list[float]) -> float:
    return total[0] / total[1] if total[1] else 0.0
