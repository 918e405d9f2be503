"""Settings that every stage has; a stage's own settings extend `RunSettings`."""

import math
from dataclasses import dataclass, field
from typing import Literal

from hfdiff.core.errors import SettingsError
from hfdiff.data.batches import DataSettings


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """AdamW and its learning rate over the run.

    Attributes:
        learning_rate: The highest.
        betas: Of AdamW.
        weight_decay: Of AdamW.
        warmup: Steps of linear rise.
        rise: ``plain`` ends its rise in step number ``warmup - 1``; ``published`` is the rule of
            the originals: each rate is set for the step after, so the very first step runs at the
            highest rate and the rise begins behind it (facts e.5).
        final: Learning rate at the end of a cosine fall; None: constant after the warm-up.
        halve_after: Numbers of steps after which the rate halves.
        decay: Factor of the rate after every ``decay_every`` steps.
        decay_every: In steps; 0: never.
        clip: Largest gradient norm of a phase; 0: not clipped.
    """

    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    warmup: int = 100
    rise: Literal["plain", "published"] = "plain"
    final: float | None = 1e-5
    halve_after: tuple[int, ...] = ()
    decay: float = 1.0
    decay_every: int = 0
    clip: float = 0.0

    def __post_init__(self) -> None:
        rates = ("learning_rate", "final", "decay")
        for name in (*rates, "weight_decay", "warmup", "decay_every", "clip"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise SettingsError(f"optimiser.{name} must be at least 0, got {value}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise SettingsError(f"optimiser.betas must lie in [0, 1), got {self.betas}")

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of step number ``step`` = 0, 1, ... of ``steps``."""
        lowered = 0.5 ** sum(step >= after for after in self.halve_after)
        if self.decay_every:
            lowered *= self.decay ** (step // self.decay_every)
        risen = self._risen(step)
        if risen < 1:
            return self.learning_rate * risen * lowered
        if self.final is None:
            return self.learning_rate * lowered
        share = max(0, step - self.warmup) / max(1, steps - self.warmup)
        swing = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
        return (self.final + (self.learning_rate - self.final) * swing) * lowered

    def _risen(self, step: int) -> float:
        """Share of the highest rate that the warm-up allows; 1 and more: it is over."""
        if self.warmup == 0 or (self.rise == "published" and step == 0):
            return 1.0
        return (step if self.rise == "published" else step + 1) / self.warmup


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """One training run.

    Attributes:
        data: Pictures and degradation.
        out: Folder of the run; everything it writes is below it.
        start: Model file to start from; "" for fresh weights.
        iterations: Optimiser steps.
        batch: Samples of a step, over all processes.
        micro_batch: Samples at once on one process; 0: all. Changes memory and not the result,
            but for what looks at several samples at once: batch norms, the balance of the
            autoencoder's adversarial term, and js_dino over a batch.
        seed: Of weights, data and noise.
        optimiser: AdamW.
        ema: Decay of the averaged weights, which are validated and exported.
        ema_warmup: Whether that decay starts small.
        precision: ``bfloat16`` runs networks under autocast.
        log_every: Steps between two lines for people; the CSV has every step.
        norms_every, checkpoint_every, validate_every: In steps; 0: never (a checkpoint is written
            at the end of a run in any case).
        keep: Checkpoints kept.
        validation_pictures: How many pictures are validated on; 0: all.
        tensorboard: Write event files for TensorBoard, too, into ``tensorboard`` below ``out``.
    """

    data: DataSettings = field(default_factory=DataSettings)
    out: str = ""
    start: str = ""
    iterations: int = 1000
    batch: int = 16
    micro_batch: int = 0
    seed: int = 0
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    ema: float = 0.999
    ema_warmup: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"
    log_every: int = 20
    norms_every: int = 200
    checkpoint_every: int = 200
    validate_every: int = 500
    keep: int = 2
    validation_pictures: int = 0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name in ("iterations", "batch", "keep", "log_every"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in (
            "micro_batch",
            "norms_every",
            "checkpoint_every",
            "validate_every",
            "validation_pictures",
        ):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise SettingsError(f"ema must lie in [0, 1), got {self.ema}")
