"""Stage ``distill``: the one-step student G_theta^ (SinSR; paper Eqs. 3-9, Algorithm 1).

The student starts as a copy of the teacher. Latent terms distill, inv and con; image terms from
`hfdiff.losses.table`; optionally the decoder learns along, and a discriminator looks at pictures.
"""

import copy
import difflib
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.core.settings import plain
from hfdiff.core.weights import content_hash
from hfdiff.data.batches import Batch
from hfdiff.data.stored import StoredBatch
from hfdiff.data.validation import Pair
from hfdiff.diffusion.denoiser import Denoiser
from hfdiff.diffusion.samplers import recorded_noise, sample_deterministic
from hfdiff.losses import adversarial
from hfdiff.losses.chunks import in_chunks
from hfdiff.losses.feature_settings import FeatureSettings
from hfdiff.losses.inputs import Branch, DistillInputs, Student
from hfdiff.losses.table import LOSSES
from hfdiff.model.sr_model import SRModel
from hfdiff.nn.discriminator import DiscriminatorConfig, PatchDiscriminator
from hfdiff.nn.lite import LiteCodec
from hfdiff.training.settings import RunSettings
from hfdiff.training.stage import Phase
from hfdiff.training.stages.common import (
    Cutout,
    assemble,
    check_data,
    check_discriminator,
    check_vgg,
    describe_unsaved,
    export_model,
    frozen_nets,
    normal_rows,
    random_corner,
    reconstructed,
    start_model,
    with_origins,
)
from hfdiff.training.validation import decoded_way, upscaler_way, validate_pairs

_log = logging.getLogger(__name__)
ADVERSARIAL = "adversarial"
DECODER = "decoder"
# What can be computed where the encoder of the gt was left out of a shipped model.
_WITHOUT_X_0_GT = {"distill", "inv", "l1", "lpips", "vgg", "hf", "js_dino", ADVERSARIAL}


@dataclass(frozen=True, kw_only=True)
class DistillSettings(RunSettings):
    """Settings of stage ``distill``; ``start`` is a teacher's (or a student's) model file.

    Attributes:
        teacher: Model file of the teacher where ``start`` is a student; "": ``start`` itself.
        terms: Raw term and weight, names of `LOSSES` and ``adversarial``; 0: not computed.
        branch: On which of the student's outputs image terms act (spec 11).
        stored_samples: Samples of a fixed set, for each of which the teacher is asked once before
            the first step; 0: every step has new samples, and the teacher is asked in each.
        stored_folder: Where its answers are kept; "": ``teacher_results`` below ``out``.
        train_decoder: Whether the decoder learns along.
        part: Side of the random lq square that image terms see; 0: the whole patch.
        margin: lq pixels round that square that are decoded, too, and cut off: what is seen then
            has neighbours, as in a picture, instead of the decoder's padding.
        chunk: Pictures that image terms look at together, on one process; 0: all of a micro-batch.
            Changes memory and time, and not the result.
        recompute: Whether what the student's blocks compute is forgotten after the forward pass
            and computed again in the backward pass; likewise.
        features: Which networks the terms hf and js_dino look through, and how.
        lpips_stages: Stages of VGG16 in LPIPS; 5 is LPIPS proper.
        discriminator: Its sizes, where ``terms`` has ``adversarial``.
    """

    teacher: str = ""
    terms: Mapping[str, float] = field(
        default_factory=lambda: {"distill": 1.0, "inv": 1.0, "con": 1.0}
    )
    branch: Branch = "distill"
    stored_samples: int = 0
    stored_folder: str = ""
    train_decoder: bool = False
    part: int = 0
    margin: int = 0
    chunk: int = 0
    recompute: bool = False
    features: FeatureSettings = field(default_factory=FeatureSettings)
    lpips_stages: int = 5
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("part", "margin", "chunk", "stored_samples"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.margin and not self.part:
            raise SettingsError("margin is round a part: part must be above 0")
        if self.stored_samples and self.data.pool_batches:
            raise SettingsError("stored_samples is a fixed set: data.pool_batches must be 0")
        known = [*LOSSES, ADVERSARIAL]
        for name, weight in self.terms.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known terms: {', '.join(known)}"
                raise SettingsError(f"terms: unknown term {name}; {hint}")
            if not 0 <= weight < math.inf:
                raise SettingsError(f"terms.{name} must be at least 0, got {weight}")
        if not any(self.terms.values()):
            raise SettingsError("terms: none has a weight")


class DistillStage:
    """See the module."""

    best_by = "student/lpips"

    def __init__(self, settings: DistillSettings, pairs: list[Pair]) -> None:
        if not settings.start:
            raise SettingsError("start: distillation needs a teacher's model file")
        self.settings = settings
        self._pairs = pairs
        started, self._before = start_model(settings.start)
        if started.config.network is None:
            raise SettingsError(f"start: {settings.start} holds an autoencoder only, no teacher")
        self._config = replace(started.config, role="student")
        check_data(settings, self._config)
        self._codec: Any = started.codec
        self._student = started.network
        self._schedule = started.schedule
        self._teacher = _teacher_of(settings, started)
        cast(Any, self._student).recomputes = settings.recompute
        self._frozen_nets = frozen_nets(settings, settings.lpips_stages, settings.features)
        self._used = {name: weight for name, weight in settings.terms.items() if weight}
        self._check_seen()
        self._encodes_gt = not isinstance(self._codec, LiteCodec) or (
            self._codec.config.with_gt_encoder
        )
        self._check_encoders()
        over_batch = "js_dino" in self._used and settings.features.js.is_over_batch
        if over_batch and 0 < settings.micro_batch < settings.batch:
            _log.warning("js_dino compares the pictures of each micro-batch on their own")
        # In the order of the table, where a term may find what an earlier one has computed.
        self._terms = {n: LOSSES[n](self._frozen_nets) for n in LOSSES if n in self._used}
        self._discriminator = PatchDiscriminator(settings.discriminator)
        self._is_adversarial = ADVERSARIAL in self._used
        if settings.train_decoder and not isinstance(self._codec, LiteCodec):
            raise SettingsError("train_decoder: only the decoder of the lite family can be trained")
        trained = ("student", *self._trained_parts())
        phases = [Phase(name="student", networks=trained)]
        if self._is_adversarial:
            phases.append(Phase(name="discriminator", networks=("discriminator",)))
        self.phases = tuple(phases)

    def networks(self) -> Mapping[str, nn.Module]:
        """The student, and the decoder and the discriminator where they learn."""
        networks = {"student": self._student, **self._trained_parts()}
        if self._is_adversarial:
            networks["discriminator"] = self._discriminator
        return networks

    def frozen(self) -> list[nn.Module]:
        """Teacher, codec and feature networks; the loop frees what is trained of the codec."""
        return [self._teacher, self._codec, *self._frozen_nets.loaded()]

    def weights(self) -> Mapping[str, float]:
        """Weights of the raw terms."""
        return {**self._used, **({"discriminator": 1.0} if self._is_adversarial else {})}

    def losses(self, phase: str, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Terms of the student or of the discriminator."""
        height, width = batch.lq_pm1.shape[-2:]
        if isinstance(batch, StoredBatch):
            noise = batch.noise
        else:
            noise = normal_rows(batch, self.latent_shape(batch), generator)
        corner = random_corner(height, width, self.settings.part, generator)
        inputs = self.inputs(batch, noise=noise, corner=corner)
        if phase == "discriminator":
            with torch.no_grad():
                sr_pm1 = inputs.sr_pm1
            logits = self._discriminator(inputs.gt_pm1), self._discriminator(sr_pm1)
            return {"discriminator": adversarial.discriminator_hinge(*logits)}
        terms = {name: term(inputs) for name, term in self._terms.items()}
        if self._is_adversarial:
            terms[ADVERSARIAL] = adversarial.generator_hinge(self._discriminator(inputs.sr_pm1))
        return terms

    def reconstructed(self, batch: Batch) -> Tensor | None:
        """What the autoencoder makes of a batch's gt, where it has both encoders."""
        return reconstructed(self._codec, batch) if self._encodes_gt else None

    def validate(self, averaged: Mapping[str, nn.Module], folder: Path) -> Mapping[str, float]:
        """The student beside decode(y) and its ceiling: is it diffusion or regression."""
        model = self._assembled(averaged)
        ways = {
            "y": decoded_way(model, lambda lq, gt: model.encode_lq(lq)),  # noqa: ARG005
            "student": upscaler_way(model, describe_unsaved(model.config, "student")),
        }
        if self._encodes_gt:
            ways["ceiling"] = decoded_way(model, lambda lq, gt: model.encode_gt(gt))  # noqa: ARG005
        return validate_pairs(self._pairs, ways, folder)

    def export(
        self, averaged: Mapping[str, nn.Module], path: Path, training: Mapping[str, Any]
    ) -> None:
        """Write the student as a model file."""
        told = with_origins(training, self._frozen_nets)
        export_model(self._assembled(averaged), path, "student", told, self._before.card)

    def inputs(
        self, batch: Batch, *, noise: Tensor, corner: tuple[int, int] = (0, 0)
    ) -> DistillInputs:
        """What the terms are computed from, each piece when a term first asks for it.

        Args:
            batch: Pairs.
            noise: Of the start x_T, standard normal ``[B, C_z, h, w]``.
            corner: Top and left of the square that image terms see, in lq pixels.
        """
        codec, lq_pm1 = self._codec, batch.lq_pm1
        with torch.no_grad():
            y = codec.encode_lq(lq_pm1).float()
            # No term that is left reads an empty one.
            x_0_gt = codec.encode_gt(batch.gt_pm1).float() if self._encodes_gt else y.new_empty(0)
        student = Denoiser(self._student, self._schedule)
        teacher = Denoiser(self._teacher, self._schedule)
        last = self._schedule.steps - 1

        def follow_teacher(x_T: Tensor) -> Tensor:  # noqa: ARG001  (it starts from the same noise)
            if isinstance(batch, StoredBatch):
                return batch.x_0_teacher
            return sample_deterministic(teacher, y, lq_pm1, noise=recorded_noise(noise))

        height, width = lq_pm1.shape[-2:]
        sides, scale = (height, width), self._config.scale
        seen = Cutout.at(corner, self.settings.part or max(sides), within=sides)
        decoded = seen.wider(self.settings.margin, within=sides)

        def decode(x_0: Tensor, lq_pm1: Tensor) -> Tensor:
            return seen.inside(decoded).of(codec.decode(x_0, lq_pm1).float(), scale)

        chunk = self.settings.chunk
        return DistillInputs(
            gt_pm1=seen.of(batch.gt_pm1, scale),
            x_0_gt=x_0_gt,
            y=y,
            x_T=self._schedule.prior(y, noise),
            prior_std=self._schedule.prior_std,
            teacher=follow_teacher,
            student=Student(
                predict_x_0=lambda x_T: student.predict_x_0(x_T, last, lq_pm1),
                predict_x_T=lambda x_0: student.predict_x_T(x_0, lq_pm1),
                decode=lambda x_0: in_chunks(decode, (decoded.of(x_0), decoded.of(lq_pm1)), chunk),
            ),
            branch=self.settings.branch,
            chunk=chunk,
        )

    def latent_shape(self, batch: Batch) -> tuple[int, int, int]:
        """Of each sample of a batch."""
        height, width = batch.lq_pm1.shape[-2:]
        return self._codec.latent_channels, height, width

    def answers_depend_on(self) -> dict[str, Any]:
        """What the teacher's answers to a sample follow from, as JSON can hold it."""
        return {
            "teacher": content_hash(self._teacher.state_dict()),
            "autoencoder": content_hash(self._codec.state_dict()),
            "schedule": plain(self._config.schedule),
            "precision": self.settings.precision,
        }

    def _assembled(self, averaged: Mapping[str, nn.Module]) -> Any:
        parts = {name: averaged[name] for name in self._trained_parts()}
        return assemble(self._config, averaged["student"], self._codec, parts)

    def _trained_parts(self) -> dict[str, nn.Module]:
        return {DECODER: self._codec.decoder} if self.settings.train_decoder else {}

    def _check_encoders(self) -> None:
        lacking = sorted(self._used.keys() - _WITHOUT_X_0_GT)
        consistent = self.settings.branch == "consistency"
        if not self._encodes_gt and (lacking or consistent):
            what = f"terms {', '.join(lacking)}" if lacking else "branch consistency"
            raise SettingsError(
                f"start: {self.settings.start} lacks the encoder of the gt for {what}"
            )

    def _check_seen(self) -> None:
        data, config = self.settings.data, self._config
        part = self.settings.part * config.scale
        side = min(data.gt_size, part or data.gt_size)
        if ADVERSARIAL in self._used:
            check_discriminator(self.settings.discriminator, side)
        if {"vgg", "lpips"} & self._used.keys():
            check_vgg(side)


def _teacher_of(settings: DistillSettings, started: SRModel) -> nn.Module:
    """The frozen teacher: what the student starts as, or another file's that fits it."""
    if not settings.teacher:
        return copy.deepcopy(started.network)
    model, _ = start_model(settings.teacher)
    ours, its = started.config, model.config
    fits = ours.schedule == its.schedule and started.latent_channels == model.latent_channels
    if its.network is None or not fits:
        raise SettingsError(
            f"teacher: {settings.teacher} must have the schedule and the latents of "
            f"{settings.start}"
        )
    return model.network
