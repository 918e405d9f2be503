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
        final: Learning rate at the end of a cosine fall; None: constant after the warm-up.
        clip: Largest gradient norm of a phase; 0: not clipped.
    """

    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    warmup: int = 100
    final: float | None = 1e-5
    clip: float = 0.0

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of step number ``step`` = 0, 1, ... of ``steps``."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.final is None:
            return self.learning_rate
        share = (step - self.warmup) / max(1, steps - self.warmup)
        swing = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
        return self.final + (self.learning_rate - self.final) * swing


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """One training run.

    Attributes:
        data: Pictures and degradation.
        out: Folder of the run; everything it writes is below it.
        start: Model file to start from; "" for fresh weights.
        iterations: Optimiser steps.
        batch: Samples of a step, over all processes.
        micro_batch: Samples at once on one process; 0: all. Changes memory, not the result.
        seed: Of weights, data and noise.
        optimiser: AdamW.
        ema: Decay of the averaged weights, which are validated and exported.
        ema_warmup: Whether that decay starts small.
        precision: ``bfloat16`` runs networks under autocast.
        log_every, norms_every, checkpoint_every, validate_every: In steps; 0: never.
        keep: Checkpoints kept.
        validation_pictures: How many pictures are validated on; 0: all.
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

    def __post_init__(self) -> None:
        for name in ("iterations", "batch", "keep"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise SettingsError(f"ema must lie in [0, 1), got {self.ema}")
