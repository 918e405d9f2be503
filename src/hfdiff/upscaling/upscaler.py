"""Upscaler: a picture in, a better one out. The main path, hop by hop (style 3.3)."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from hfdiff.core.devices import resolve_device, resolve_dtype
from hfdiff.core.errors import CheckpointError, ImageError, ResourceError
from hfdiff.diffusion.noise import Window, positional_noise
from hfdiff.imaging.files import read_picture, write_picture
from hfdiff.imaging.picture import Picture
from hfdiff.imaging.pixels import (
    Samples,
    clamped_01_from_pm1,
    pm1_from_01,
    samples_from_01,
    samples_to_01,
)
from hfdiff.imaging.resize import Axis, resample
from hfdiff.model.find import find_model
from hfdiff.model.model_file import Description, load_model, save_model
from hfdiff.model.sr_model import SRModel
from hfdiff.upscaling.kinds import ImageLike, like, pictures_of
from hfdiff.upscaling.options import Naming, UpscaleOptions, check_growth, target_size
from hfdiff.upscaling.plan import plan_work
from hfdiff.upscaling.tiles import Tile, TileMerger, TilePlan, plan_axis

_ALPHA_MARGIN = 3  # lq pixels that the cubic of the alpha channel reaches

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One picture being enlarged: what is read, how it is cut, what it becomes."""

    picture: Picture
    plan: TilePlan
    options: UpscaleOptions


class Upscaler:
    """Enlarges pictures with one model on one device.

    Calls keep no state on the object, so threads may share it.

    Args:
        model: The networks.
        description: What the model file says.
        device: ``auto``, ``cpu``, ``cuda:0``, ...
        dtype: ``float32`` (default), ``bfloat16`` or ``float16`` for the networks.
    """

    def __init__(
        self,
        model: SRModel,
        description: Description,
        *,
        device: str = "auto",
        dtype: str = "float32",
    ) -> None:
        self.device = resolve_device(device)
        self.dtype = resolve_dtype(dtype)
        self.model = model.to(self.device)
        self.description = description

    @classmethod
    def from_pretrained(
        cls, model: str | Path | None = None, *, device: str = "auto", dtype: str = "float32"
    ) -> Self:
        """An upscaler from a model file, a model folder, or the name of a model in the box.

        Without a name it is the default model in the box.

        Raises:
            CheckpointError: when the model cannot be found or loaded.
            SettingsError: for an unknown device or dtype.
        """
        path = find_model(model)
        network, description = load_model(path)
        if network.config.role == "codec":
            raise CheckpointError(f"{path} holds an autoencoder only and cannot upscale")
        return cls(network, description, device=device, dtype=dtype)

    def save_pretrained(self, path: str | Path) -> Path:
        """Write the model: one file where the path ends in .safetensors, else the hub's folder.

        What `from_pretrained` reads again; the card stays as it is.
        """
        save_model(Path(path), self.model, self.description.card)
        return Path(path)

    def summary(self) -> str:
        """One line: model, factor, device, dtype."""
        dtype = str(self.dtype).removeprefix("torch.")
        name, scale = self.description.card.name, self.model.scale
        return f"model {name} (x{scale}) on {self.device}, {dtype}"

    def __call__(
        self,
        image: ImageLike,
        *,
        scale: float | None = None,
        size: tuple[int | None, int | None] | None = None,
        seed: int = 0,
        steps: int = 1,
        tile: int | None = None,
        overlap: int | None = None,
        batch: int = 1,
    ) -> ImageLike:
        """Enlarge an image of Pillow, an array or a tensor; what comes in comes out.

        Args:
            image: An image of Pillow; an array ``[H, W]`` or ``[H, W, C]``, uint8 or uint16; or a
                float tensor ``[3, H, W]`` or ``[B, 3, H, W]`` in [0, 1].
            scale: See `UpscaleOptions`, as all that follow.
            size: Exact output size (width, height).
            seed: The same seed gives the same result; pictures of a batch share it.
            steps: Denoising steps.
            tile: Tile side in lq pixels.
            overlap: lq pixels that tiles share.
            batch: Tiles computed at once.

        Raises:
            ImageError: for anything else than such an image.
            SettingsError: for sizes, steps or tiles that cannot work.
        """
        options = UpscaleOptions(
            scale=scale,
            size=size,
            seed=seed,
            steps=steps,
            tile=tile,
            overlap=overlap,
            batch=batch,
        )
        return like(image, [self.upscale(picture, options) for picture in pictures_of(image)])

    def upscale_file(
        self,
        source: str | Path,
        target: str | Path,
        options: UpscaleOptions | None = None,
        *,
        quality: int | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Enlarge a picture file, with the rules of ``hfdiff upscale`` for names and formats.

        Args:
            source: A picture file.
            target: A picture file to write, or a folder.
            options: Size, seed, steps, tiling.
            quality: 1..100 for lossy formats; None: the format's default.
            overwrite: Whether an existing file is replaced; never the source.

        Returns:
            The file that was written.

        Raises:
            ImageError: when the source cannot be read or the target not be written.
            SettingsError: for sizes, steps or tiles that cannot work.
        """
        options = options or UpscaleOptions()
        if not Path(source).is_file():
            raise ImageError(f"{source} is not a file")
        naming = Naming(output=Path(target), overwrite=overwrite)
        plan = plan_work([str(source)], naming, options, model_scale=self.model.scale)
        if plan.refusals:
            raise ImageError(f"{source}: {plan.refusals[0].reason}")
        job = plan.jobs[0]
        better = self.upscale(read_picture(job.source), options)
        write_picture(better, job.target, job.format, quality=quality)
        return job.target

    def upscale(
        self, picture: Picture, options: UpscaleOptions, *, on_progress: Progress | None = None
    ) -> Picture:
        """Enlarge a picture: tiles -> latent -> one step -> pixels, blended into the output.

        Args:
            picture: The low-quality picture.
            options: Size, seed, steps, tiling.
            on_progress: Called with (tiles done, tiles in all) after each batch of tiles.

        Raises:
            SettingsError: for sizes, steps or tiles that cannot work.
        """
        self.model.check_steps(options.steps)
        work = Work(picture=picture, plan=self.plan(picture, options), options=options)
        sink = SampleSink(work)
        merger = TileMerger(work.plan, sink)
        done = 0
        for tiles in _batches(work.plan, options.batch):
            for tile, block_01 in zip(tiles, self.enlarge_tiles(work, tiles), strict=True):
                merger.add(tile, block_01)
            done += len(tiles)
            if on_progress is not None:
                on_progress(done, len(work.plan))
        return replace(picture, samples=sink.samples)

    def plan(self, picture: Picture, options: UpscaleOptions) -> TilePlan:
        """How a picture is cut: a function of its size, the model and the options, nothing else."""
        width, height = target_size(picture.width, picture.height, options, self.model.scale)
        check_growth((picture.width, picture.height), (width, height))
        config = self.model.config
        tile = config.tile if options.tile is None else options.tile
        overlap = config.overlap if options.overlap is None else options.overlap
        least = _ALPHA_MARGIN if picture.has_alpha else 0
        axes = [
            plan_axis(
                length,
                tile=tile or length,
                overlap=overlap,
                halo=max(least, config.halo + _margin(length * config.scale, target, config.scale)),
                multiple=config.multiple,
                target=target,
            )
            for length, target in ((picture.height, height), (picture.width, width))
        ]
        return TilePlan(rows=axes[0], columns=axes[1])

    @torch.inference_mode()
    def enlarge_tiles(self, work: Work, tiles: list[Tile]) -> list[Tensor]:
        """Results of some tiles: ``[C, h, w]`` in [0, 1], each its kept rows and columns.

        The batch always has the wanted shape (short ones repeat their last tile), so that the
        same numbers come out wherever a tile stands in the order.
        """
        filled = tiles + [tiles[-1]] * (work.options.batch - len(tiles))
        windows_01 = [samples_to_01(work.picture.window(t.rows, t.columns)) for t in filled]
        lq_01 = torch.cat([_colour(window) for window in windows_01]).to(self.device)
        sr_pm1 = self._restore(work, filled, pm1_from_01(lq_01)).float()
        if not bool(torch.isfinite(sr_pm1).all()):
            raise ResourceError("the network's answer is not finite", hint="use --dtype float32")
        sr_01 = clamped_01_from_pm1(sr_pm1)
        pairs = zip(tiles, windows_01, sr_01.cpu(), strict=False)
        return [_finish(work, tile, window, sr[None]) for tile, window, sr in pairs]

    def _restore(self, work: Work, tiles: list[Tile], lq_pm1: Tensor) -> Tensor:
        def noise(draw: int, like: Tensor) -> Tensor:
            fields = [self._noise(work.options.seed, tile, draw) for tile in tiles]
            return torch.cat(fields).to(like.device, like.dtype)

        reduced = self.dtype != torch.float32
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=reduced):
            return self.model(lq_pm1, noise=noise, steps=work.options.steps)

    def _noise(self, seed: int, tile: Tile, draw: int) -> Tensor:
        window = Window(
            top=tile.rows.start,
            left=tile.columns.start,
            height=len(tile.rows),
            width=len(tile.columns),
        )
        return positional_noise(seed, window, self.model.latent_channels, draw=draw)


class SampleSink:
    """The output in memory at its own bit depth; finished blocks are rounded into it."""

    def __init__(self, work: Work) -> None:
        source = work.picture.samples
        shape = (work.plan.rows.target, work.plan.columns.target, work.picture.channels)
        self.samples: Samples = np.empty(shape, dtype=source.dtype)

    def write(self, top: int, left: int, block_01: Tensor) -> None:
        """Round a block ``[C, h, w]`` into its place."""
        height, width = block_01.shape[1:]
        place = self.samples[top : top + height, left : left + width]
        place[...] = samples_from_01(block_01, self.samples.dtype)


def _batches(plan: TilePlan, size: int) -> Iterable[list[Tile]]:
    tiles = list(plan)
    return (tiles[start : start + size] for start in range(0, len(tiles), size))


def _margin(source: int, target: int, scale: int) -> int:
    """Pixels of the lq that the final resize needs around a tile; 0 where there is none."""
    if source == target:
        return 0
    return math.ceil(Axis(source=source, target=target).support / scale) + 1


def _colour(window_01: Tensor) -> Tensor:
    """The three channels that the network sees; colour is premultiplied by alpha."""
    channels = window_01.shape[1]
    has_alpha = channels in (2, 4)
    colour = window_01[:, : channels - 1] if has_alpha else window_01
    if has_alpha:
        colour = colour * window_01[:, -1:]
    return colour.expand(-1, 3, -1, -1)


def _finish(work: Work, tile: Tile, window_01: Tensor, sr_01: Tensor) -> Tensor:
    """A tile's result on the target's grid, in the picture's own channels, cut to what is kept."""
    scale = sr_01.shape[-1] // window_01.shape[-1]
    colour = _on_target(work.plan, tile, sr_01, scale)
    if work.picture.channels < 3:
        colour = colour.mean(1, keepdim=True)
    if work.picture.has_alpha:
        alpha = _on_target(work.plan, tile, window_01[:, -1:], 1).clamp(0.0, 1.0)
        # Where nothing shows, any colour will do; the floor keeps the quotient finite.
        colour = (colour / alpha.clamp_min(1.0 / 65_535)).clamp(0.0, 1.0)
        colour = torch.cat((colour, alpha), 1)
    return colour[0]


def _on_target(plan: TilePlan, tile: Tile, picture: Tensor, scale: int) -> Tensor:
    """Kept rows and columns of a tile whose pixels are ``scale`` to an lq pixel."""
    for dim, axis, start, k in (
        (-2, plan.rows, tile.rows.start, tile.row),
        (-1, plan.columns, tile.columns.start, tile.column),
    ):
        low, high = axis.intervals[k]
        origin, source = start * scale, axis.length * scale
        if source == axis.target:
            picture = picture.narrow(dim, low - origin, high - low)
        else:
            size = Axis(source=source, target=axis.target)
            picture = resample(picture, dim, size, low, high, origin=origin)
    return picture
