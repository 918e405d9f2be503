"""Stage ``teacher``: the T-step denoiser G_theta (ResShift; facts e.1).

Term mse: out = network(x_t / std_t, t, lq) must be the gt's latent. For the lite family the encoder
of the lq is trained beside it, by regression on the gt's latent (term lq), once that is fixed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.data.batches import Batch
from hfdiff.data.validation import Pair
from hfdiff.diffusion.denoiser import Denoiser
from hfdiff.diffusion.schedule import ScheduleConfig, ShiftSchedule
from hfdiff.model.build import build_network
from hfdiff.model.config import NetworkConfig
from hfdiff.nn.identity import IdentityConfig
from hfdiff.nn.lite import LiteCodec, LiteDenoiserConfig
from hfdiff.training.settings import RunSettings
from hfdiff.training.stage import Phase
from hfdiff.training.stages.common import (
    assemble,
    check_data,
    describe_unsaved,
    export_model,
    integer_rows,
    normal_rows,
    reconstructed,
    start_model,
)
from hfdiff.training.validation import decoded_way, upscaler_way, validate_pairs

LQ_ENCODER = "lq_encoder"


@dataclass(frozen=True, kw_only=True)
class TeacherSettings(RunSettings):
    """Settings of stage ``teacher``; ``start`` is an autoencoder's or a teacher's model file.

    Attributes:
        network: The denoiser; where ``start`` holds one already, it goes on with that.
        schedule: Numbers of the shifting schedule.
        tile, overlap, halo: See `ModelConfig`.
        mse, lq: Weights of the raw terms; with an ``lq`` of 0 the encoder of the lq stays as it is.
        recompute: Whether what the denoiser's blocks compute is forgotten after the forward pass
            and computed again in the backward pass. Changes memory and time, and not the result.
    """

    network: NetworkConfig = field(default_factory=LiteDenoiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    tile: int = 256
    overlap: int = 48
    halo: int = 20
    mse: float = 1.0
    lq: float = 1.0
    recompute: bool = False


class TeacherStage:
    """See the module."""

    best_by = "teacher/lpips"

    def __init__(self, settings: TeacherSettings, pairs: list[Pair]) -> None:
        if not settings.start:
            raise SettingsError("start: a teacher needs an autoencoder's model file")
        if isinstance(settings.network, IdentityConfig):
            raise SettingsError("network: the identity family has nothing to train")
        self.settings = settings
        self._pairs = pairs
        started, self._before = start_model(settings.start)
        self._codec: Any = started.codec
        if started.config.role == "codec":
            self._config = replace(
                started.config,
                network=settings.network,
                schedule=settings.schedule,
                role="teacher",
                tile=settings.tile,
                overlap=settings.overlap,
                halo=settings.halo,
            )
            self._network = build_network(self._config)
        else:
            self._config = replace(started.config, role="teacher")
            self._network = started.network
        cast(Any, self._network).recomputes = settings.recompute
        check_data(settings, self._config)
        self._schedule = ShiftSchedule.from_config(self._config.schedule)
        self._denoiser = Denoiser(self._network, self._schedule)
        # A published encoder is not trained here.
        self._learns_lq = isinstance(self._codec, LiteCodec) and settings.lq > 0
        self.phases = (Phase(name="teacher", networks=tuple(self.networks())),)

    def networks(self) -> Mapping[str, nn.Module]:
        """The denoiser, and for the lite family the encoder of the lq."""
        return {"network": self._network, **self._trained_parts()}

    def frozen(self) -> list[nn.Module]:
        """The codec; the loop frees what is trained of it."""
        return [self._codec]

    def weights(self) -> Mapping[str, float]:
        """Weights of the raw terms."""
        learned = {"lq": self.settings.lq} if self._learns_lq else {}
        return {"mse": self.settings.mse, **learned}

    def losses(self, phase: str, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:  # noqa: ARG002
        """`terms` over random indices and noise."""
        latent = (self._codec.latent_channels, *batch.lq_pm1.shape[-2:])
        t = integer_rows(batch, self._schedule.steps, generator)
        return self.terms(batch, t=t, noise=normal_rows(batch, latent, generator))

    def terms(self, batch: Batch, *, t: Tensor, noise: Tensor) -> Mapping[str, Tensor]:
        """Error of x_0, and of the lq's latent.

        Args:
            batch: Pairs.
            t: Index of each sample, int64 ``[B]`` in [0, T-1].
            noise: Standard normal ``[B, C_z, h, w]``.
        """
        codec = self._codec
        with torch.no_grad():
            x_0 = codec.encode_gt(batch.gt_pm1).float()
        y = codec.encode_lq(batch.lq_pm1).float()
        x_t = self._schedule.shift(x_0, y.detach(), t, noise)
        predicted = self._denoiser.predict_x_0(x_t, t, batch.lq_pm1)
        terms = {"mse": F.mse_loss(predicted.float(), x_0)}
        if self._learns_lq:
            terms["lq"] = F.mse_loss(y, x_0)
        return terms

    def reconstructed(self, batch: Batch) -> Tensor:
        """What the frozen autoencoder makes of a batch's gt."""
        return reconstructed(self._codec, batch)

    def validate(self, averaged: Mapping[str, nn.Module], folder: Path) -> Mapping[str, float]:
        """The teacher at all its steps and at one, beside its ceiling and its start."""
        model = self._assembled(averaged)
        description = describe_unsaved(model.config, "teacher")
        ways = {
            "y": decoded_way(model, lambda lq, gt: model.encode_lq(lq)),  # noqa: ARG005
            "one_step": upscaler_way(model, description),
            "teacher": upscaler_way(model, description, steps=model.schedule.steps),
            "ceiling": decoded_way(model, lambda lq, gt: model.encode_gt(gt)),  # noqa: ARG005
        }
        return validate_pairs(self._pairs, ways, folder)

    def export(
        self, averaged: Mapping[str, nn.Module], path: Path, training: Mapping[str, Any]
    ) -> None:
        """Write the teacher as a model file."""
        model = self._assembled(averaged)
        export_model(model, path, "teacher", training, self._before.card)

    def _assembled(self, averaged: Mapping[str, nn.Module]) -> Any:
        parts = {name: averaged[name] for name in self._trained_parts()}
        return assemble(self._config, averaged["network"], self._codec, parts)

    def _trained_parts(self) -> dict[str, nn.Module]:
        return {LQ_ENCODER: self._codec.lq_encoder} if self._learns_lq else {}
