"""Upscaler: a picture in, a better one out. The main path, hop by hop (style 3.3)."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from hfdiff.core.devices import is_out_of_memory, release_memory, resolve_device, resolve_dtype
from hfdiff.core.errors import CheckpointError, ImageError, ResourceError
from hfdiff.diffusion.noise import Window, positional_noise
from hfdiff.imaging.files import read_picture
from hfdiff.imaging.picture import Picture
from hfdiff.imaging.pixels import clamped_01_from_pm1, pm1_from_01, samples_to_01
from hfdiff.model.find import find_model
from hfdiff.model.model_file import Description, load_model, save_model
from hfdiff.model.sr_model import SRModel
from hfdiff.upscaling.cutting import fixes_colours, plan_tiles, smaller_work
from hfdiff.upscaling.fidelity import keep_colours, keep_fidelity
from hfdiff.upscaling.health import fault_of
from hfdiff.upscaling.kinds import ImageLike, like, pictures_of
from hfdiff.upscaling.options import Naming, UpscaleOptions, Writing, is_kept
from hfdiff.upscaling.outputs import write_enlarged, write_output
from hfdiff.upscaling.plan import plan_work
from hfdiff.upscaling.tiles import Sink, Tile, TileMerger, TilePlan
from hfdiff.upscaling.work import (
    Account,
    Enlarged,
    Progress,
    SampleSink,
    Work,
    colour_of,
    finish,
)


class Upscaler:
    """Enlarges pictures with one model on one device.

    Calls keep no state on the object, so threads may share it.

    Args:
        model: The networks; they are moved to the device and laid out channels last.
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
        # Convolutions then need no copies in another order.
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._model: SRModel | None = model.to(self.device)
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

    def close(self) -> None:
        """Let go of the networks and of the device's memory; pictures are refused from then on."""
        self._model = None
        release_memory(self.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def model(self) -> SRModel:
        """The networks.

        Raises:
            ResourceError: after `close`.
        """
        if self._model is None:
            raise ResourceError("this upscaler was closed")
        return self._model

    @property
    def dtype_name(self) -> str:
        """What the networks compute in, as people write it."""
        return str(self.dtype).removeprefix("torch.")

    def summary(self) -> str:
        """One line: model, factor, device, dtype."""
        name, scale = self.description.card.name, self.model.scale
        return f"model {name} (x{scale}) on {self.device}, {self.dtype_name}"

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
        fidelity: float = 0.0,
        color_fix: bool | None = None,
        on_progress: Progress | None = None,
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
            batch: At most so many tiles at once.
            fidelity: From 0, the model as it is, to 1, the plain enlargement held to the lq.
            color_fix: Whether the lq's low-passed colours are kept; None: as the model file says.
            on_progress: Called with (tiles done, tiles in all) of each picture. What it raises
                cancels the call, reaches the caller, and leaves nothing behind.

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
            fidelity=fidelity,
            color_fix=color_fix,
        )
        pictures = pictures_of(image)
        return like(
            image, [self.upscale(one, options, on_progress=on_progress) for one in pictures]
        )

    def upscale_file(
        self,
        source: str | Path,
        target: str | Path,
        options: UpscaleOptions | None = None,
        *,
        quality: int | None = None,
        strip_metadata: bool = False,
        provenance: bool = True,
        overwrite: bool = False,
    ) -> Path:
        """Enlarge a picture file, with the rules of ``hfdiff upscale`` for names and formats.

        Args:
            source: A picture file.
            target: A picture file to write, or a folder.
            options: Size, seed, steps, tiling.
            quality: 1..100 for lossy formats; None: the format's default.
            strip_metadata: Whether nothing is carried over but the ICC profile.
            provenance: Whether model, options and seed are stated in the output's XMP.
            overwrite: Whether an existing file is replaced; never the source.

        Returns:
            The file that was written.

        Raises:
            ImageError: when the source cannot be read or the target not be written.
            SettingsError: for sizes, steps or tiles that cannot work.
        """
        options = options or UpscaleOptions()
        for path in (source, target):
            if not isinstance(path, str | os.PathLike):
                raise ImageError(f"a file is named by a path, got {type(path).__name__}")
        if not Path(source).is_file():
            raise ImageError(f"{source} is not a file")
        naming = Naming(output=Path(target), overwrite=overwrite)
        plan = plan_work([str(source)], naming, options, model_scale=self.model.scale)
        if plan.refusals:
            raise ImageError(f"{source}: {plan.refusals[0].reason}")
        job = plan.jobs[0]
        picture = read_picture(job.source)
        writing = Writing(quality=quality, strip_metadata=strip_metadata, provenance=provenance)
        write_output(
            job.target,
            lambda stream: write_enlarged(self, picture, stream, job.format, options, writing),
        )
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
        enlarged = self.enlarge(picture, options, on_progress=on_progress)
        notes = (*enlarged.picture.notes, *enlarged.notes)
        return replace(enlarged.picture, notes=notes)

    def enlarge(
        self, picture: Picture, options: UpscaleOptions, *, on_progress: Progress | None = None
    ) -> Enlarged:
        """As `upscale`, with an account of it.

        Raises:
            ResourceError, SettingsError: as `enlarge_into`.
        """
        made: list[SampleSink] = []

        def begun(work: Work) -> SampleSink:
            made[:] = [SampleSink(work)]
            return made[0]

        account = self.enlarge_into(picture, options, begun, on_progress=on_progress)
        if made:
            picture = replace(picture, samples=made[0].samples)
        return Enlarged(picture=picture, **vars(account))

    def enlarge_into(
        self,
        picture: Picture,
        options: UpscaleOptions,
        begun: Callable[[Work], Sink],
        *,
        on_progress: Progress | None = None,
    ) -> Account:
        """Enlarge a picture into a sink, which gets finished blocks in the order of the plan.

        When memory runs out it begins again with smaller tiles, by no other rule than that, so a
        result is always the one of a tile that can be asked for. ``begun`` makes the sink of an
        attempt, and what an earlier one got is void; it is not called for a picture that is large
        enough as it is.

        Raises:
            ResourceError: when memory does not suffice for the smallest tile, or the network's
                answer for a tile cannot be one in float32 either.
            SettingsError: as `upscale`.
        """
        self.model.check_steps(options.steps)
        size = (picture.width, picture.height)
        if is_kept(*size, options, self.model.scale):
            note = "large enough already: not enlarged"
            return Account(options=options, size=size, target_size=size, tiles=0, notes=(note,))
        notes: list[str] = []
        while True:
            plan = self.plan(picture, options)
            options = replace(options, batch=_even(len(plan), options.batch))
            work = Work(picture=picture, plan=plan, options=options)
            try:
                return self._attempt(work, begun(work), notes, on_progress)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                smaller = smaller_work(
                    work.plan, options, self.model.config, has_alpha=picture.has_alpha
                )
                if smaller is None:
                    raise ResourceError(
                        f"not enough memory, even for tiles of {work.plan.side} pixels "
                        "one at a time"
                    ) from error
            # Outside of the handler: the error held everything that was in memory.
            options, note = smaller
            notes.append(note)
            release_memory(self.device)

    def _attempt(
        self, work: Work, sink: Sink, notes: list[str], on_progress: Progress | None
    ) -> Account:
        merger = TileMerger(work.plan, sink)
        done, last = 0, len(work.plan.columns.starts) - 1
        for tiles in work.plan.batches(work.options.batch):
            for tile, block_01 in zip(tiles, self.enlarge_tiles(work, tiles), strict=True):
                merger.add(tile, block_01)
            done += len(tiles)
            row_ends = tiles[-1].rows.start != tiles[0].rows.start or tiles[-1].column == last
            if row_ends or self.device.type == "cpu":
                release_memory(self.device)  # or holes in the heap grow with the picture
            if on_progress is not None:
                on_progress(done, len(work.plan))
        return Account(
            options=work.options,
            size=(work.picture.width, work.picture.height),
            target_size=work.target_size,
            tiles=len(work.plan),
            tile=work.plan.side,
            retries=len(notes) + len(work.redone),
            notes=(*notes, *work.redone),
        )

    def plan(self, picture: Picture, options: UpscaleOptions) -> TilePlan:
        """How a picture is cut: a function of its size, the model and the options, nothing else."""
        size = (picture.width, picture.height)
        return plan_tiles(size, options, self.model.config, has_alpha=picture.has_alpha)

    @torch.inference_mode()
    def enlarge_tiles(self, work: Work, tiles: list[Tile]) -> list[Tensor]:
        """Results of some tiles: ``[C, h, w]`` in [0, 1], each its kept rows and columns.

        The batch always has the wanted shape (short ones repeat their last tile), so that the
        same numbers come out wherever a tile stands in the order.
        """
        filled = tiles + [tiles[-1]] * (work.options.batch - len(tiles))
        windows_01 = [samples_to_01(work.picture.window(t.rows, t.columns)) for t in filled]
        lq_pm1 = pm1_from_01(torch.cat([colour_of(window) for window in windows_01]))
        sr_pm1 = self._sound(work, filled, lq_pm1.to(self.device))
        answers = zip(tiles, windows_01, sr_pm1.cpu(), lq_pm1, strict=False)
        return [
            finish(work, tile, window, self._held(work, sr, lq)[None])
            for tile, window, sr, lq in answers
        ]

    def _held(self, work: Work, sr_pm1: Tensor, lq_pm1: Tensor) -> Tensor:
        """An answer in [0, 1], held to its lq as far as was asked."""
        if fixes_colours(work.options, self.model.config):
            sr_pm1 = keep_colours(sr_pm1, lq_pm1)
        return clamped_01_from_pm1(keep_fidelity(sr_pm1, lq_pm1, work.options.fidelity))

    def _sound(self, work: Work, tiles: list[Tile], lq_pm1: Tensor) -> Tensor:
        """The network's answers; those that cannot be right are asked for again in float32."""
        sr_pm1 = self._restore(work, tiles, lq_pm1, self.dtype).float()
        for k, tile in enumerate(tiles):
            fault = fault_of(sr_pm1[k], lq_pm1[k])
            if fault is None:
                continue
            where = f"the tile at row {tile.rows.start}, column {tile.columns.start}"
            if self.dtype != torch.float32:
                again = self._restore(
                    work, [tile] * len(tiles), lq_pm1[[k] * len(tiles)], torch.float32
                )
                sr_pm1[k] = again[0]
                work.redone.append(f"{where} was redone in float32: it was {fault}")
                fault = fault_of(sr_pm1[k], lq_pm1[k])
            if fault is not None:
                raise ResourceError(f"the network's answer for {where} is {fault} in float32")
        return sr_pm1

    def _restore(self, work: Work, tiles: list[Tile], lq_pm1: Tensor, dtype: torch.dtype) -> Tensor:
        def noise(draw: int, like: Tensor) -> Tensor:
            fields = [self._noise(work.options.seed, tile, draw) for tile in tiles]
            return torch.cat(fields).to(like.device, like.dtype)

        reduced = dtype != torch.float32
        with torch.autocast(self.device.type, dtype=dtype, enabled=reduced):
            return self.model(lq_pm1, noise=noise, steps=work.options.steps)

    def _noise(self, seed: int, tile: Tile, draw: int) -> Tensor:
        window = Window(
            top=tile.rows.start,
            left=tile.columns.start,
            height=len(tile.rows),
            width=len(tile.columns),
        )
        return positional_noise(seed, window, self.model.latent_channels, draw=draw)


def _even(tiles: int, most: int) -> int:
    """Tiles at once so that all batches are about as large; none is filled up to no purpose."""
    batches = -(-tiles // most)
    return -(-tiles // batches)
