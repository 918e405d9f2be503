"""Stage ``distill``: the one-step student G_theta^ (SinSR; paper Eqs. 3-9, Algorithm 1).

The student starts as a copy of the teacher. Latent terms distill, inv and con; image terms from
`hfdiff.losses.table`; optionally the decoder learns along, and a discriminator looks at pictures.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hfdiff.core.errors import SettingsError
from hfdiff.data.batches import Batch
from hfdiff.diffusion.denoiser import Denoiser
from hfdiff.diffusion.samplers import recorded_noise, sample_deterministic
from hfdiff.losses import adversarial
from hfdiff.losses.inputs import Branch, DistillInputs, Student
from hfdiff.losses.table import LOSSES
from hfdiff.nn.discriminator import DiscriminatorConfig, PatchDiscriminator
from hfdiff.training.settings import RunSettings
from hfdiff.training.stage import Phase
from hfdiff.training.stages.common import (
    assemble,
    describe_unsaved,
    export_model,
    frozen_nets,
    normal_like,
    start_model,
)
from hfdiff.training.validation import Pair, decoded_way, upscaler_way, validate_pairs

ADVERSARIAL = "adversarial"
DECODER = "decoder"


@dataclass(frozen=True, kw_only=True)
class DistillSettings(RunSettings):
    """Settings of stage ``distill``; ``start`` is a teacher's (or a student's) model file.

    Attributes:
        teacher: Model file of the teacher where ``start`` is a student; "": ``start`` itself.
        terms: Raw term and weight, names of `LOSSES` and ``adversarial``.
        branch: On which of the student's outputs image terms act (spec 11).
        train_decoder: Whether the decoder learns along.
        part: Side of the random lq square that image terms decode; 0: the whole patch.
        lpips_stages: Stages of VGG16 in LPIPS; 5 is LPIPS proper.
        discriminator: Its sizes, where ``terms`` has ``adversarial``.
    """

    teacher: str = ""
    terms: Mapping[str, float] = field(
        default_factory=lambda: {"distill": 1.0, "inv": 1.0, "con": 1.0}
    )
    branch: Branch = "distill"
    train_decoder: bool = False
    part: int = 0
    lpips_stages: int = 5
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.terms:
            if name != ADVERSARIAL and name not in LOSSES:
                known = ", ".join([*LOSSES, ADVERSARIAL])
                raise SettingsError(f"terms: unknown term {name}; known: {known}")


class DistillStage:
    """See the module."""

    def __init__(self, settings: DistillSettings, pairs: list[Pair]) -> None:
        if not settings.start:
            raise SettingsError("start: distillation needs a teacher's model file")
        self.settings = settings
        self._pairs = pairs
        started, self._before = start_model(settings.start)
        self._config = replace(started.config, role="student")
        self._codec = started.codec
        self._student = started.network
        self._schedule = started.schedule
        teacher = start_model(settings.teacher)[0].network if settings.teacher else started.network
        self._teacher = copy.deepcopy(teacher)
        frozen = frozen_nets(settings, settings.lpips_stages)
        self._terms = {name: LOSSES[name](frozen) for name in settings.terms if name in LOSSES}
        self._feature_nets = [net for net in vars(frozen).values() if isinstance(net, nn.Module)]
        self._discriminator = PatchDiscriminator(settings.discriminator)
        self._is_adversarial = ADVERSARIAL in settings.terms
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
        return [self._teacher, self._codec, *self._feature_nets]

    def weights(self) -> Mapping[str, float]:
        """Weights of the raw terms."""
        return {**self.settings.terms, "discriminator": 1.0}

    def losses(self, phase: str, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Terms of the student or of the discriminator."""
        inputs = self._inputs(batch, generator)
        if phase == "discriminator":
            with torch.no_grad():
                sr_pm1 = inputs.sr_pm1
            logits = self._discriminator(inputs.gt_pm1), self._discriminator(sr_pm1)
            return {"discriminator": adversarial.discriminator_hinge(*logits)}
        terms = {name: term(inputs) for name, term in self._terms.items()}
        if self._is_adversarial:
            terms[ADVERSARIAL] = adversarial.generator_hinge(self._discriminator(inputs.sr_pm1))
        return terms

    def validate(self, averaged: Mapping[str, nn.Module], folder: Path) -> Mapping[str, float]:
        """The student beside decode(y) and its ceiling: is it diffusion or regression."""
        model = self._assembled(averaged)
        ways = {
            "y": decoded_way(model, lambda lq, gt: model.encode_lq(lq)),  # noqa: ARG005
            "student": upscaler_way(model, describe_unsaved(model.config, "student")),
            "ceiling": decoded_way(model, lambda lq, gt: model.encode_gt(gt)),  # noqa: ARG005
        }
        return validate_pairs(self._pairs, ways, folder)

    def export(
        self, averaged: Mapping[str, nn.Module], path: Path, training: Mapping[str, Any]
    ) -> None:
        """Write the student as a model file."""
        export_model(self._assembled(averaged), path, "student", training, self._before.card)

    def _inputs(self, batch: Batch, generator: torch.Generator) -> DistillInputs:
        codec: Any = self._codec
        with torch.no_grad():
            x_0_gt = codec.encode_gt(batch.gt_pm1).float()
            y = codec.encode_lq(batch.lq_pm1).float()
        noise = normal_like(y, generator)
        student = Denoiser(self._student, self._schedule)
        teacher = Denoiser(self._teacher, self._schedule)
        last, lq_pm1 = self._schedule.steps - 1, batch.lq_pm1

        def follow_teacher(x_T: Tensor) -> Tensor:  # noqa: ARG001  (it starts from the same noise)
            return sample_deterministic(teacher, y, lq_pm1, noise=recorded_noise(noise))

        seen = self._seen_part(batch, generator)
        return DistillInputs(
            gt_pm1=seen(batch.gt_pm1, self._config.scale),
            x_0_gt=x_0_gt,
            x_T=self._schedule.prior(y, noise),
            teacher=follow_teacher,
            student=Student(
                predict_x_0=lambda x_T: student.predict_x_0(x_T, last, lq_pm1),
                predict_x_T=lambda x_0: student.predict_x_T(x_0, lq_pm1),
                decode=lambda x_0: codec.decode(seen(x_0, 1), seen(lq_pm1, 1)).float(),
            ),
            branch=self.settings.branch,
        )

    def _seen_part(
        self, batch: Batch, generator: torch.Generator
    ) -> Callable[[Tensor, int], Tensor]:
        """The random square that image terms look at, as a cut of anything on the lq's grid."""
        height, width = batch.lq_pm1.shape[-2:]
        side = self.settings.part or max(height, width)
        top = int(torch.randint(max(1, height - side + 1), (), generator=generator))
        left = int(torch.randint(max(1, width - side + 1), (), generator=generator))

        def cut(picture: Tensor, scale: int) -> Tensor:
            rows = slice(top * scale, (top + side) * scale)
            return picture[..., rows, left * scale : (left + side) * scale]

        return cut

    def _assembled(self, averaged: Mapping[str, nn.Module]) -> Any:
        parts = {name: averaged[name] for name in self._trained_parts()}
        return assemble(self._config, averaged["student"], self._codec, parts)

    def _trained_parts(self) -> dict[str, nn.Module]:
        codec: Any = self._codec
        return {DECODER: codec.decoder} if self.settings.train_decoder else {}
