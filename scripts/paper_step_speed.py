"""Samples per second and peak memory of whole distillation steps of preset `paper`.

    python scripts/paper_step_speed.py PICTURES [KEY=VALUE ...]

Networks of the published sizes with random weights, in the loop and on the data of `hfdiff train
distill --preset paper`, on a GPU where there is one; without the pool of pairs, norms of terms,
checkpoints and validation. Eight steps, of which the first three (the GPU's choice of algorithms,
the loaders' start) are left out.
"""

import contextlib
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from paper_step_memory import random_files

from hfdiff.training.loop import Trainer
from hfdiff.training.run import build, prepare, resolve

STEPS, LEFT_OUT = 8, 3


class DoneError(Exception):
    """All steps are done; what a run writes at its end is not wanted."""


class Timed(Trainer):
    """A trainer that notes when each step was done."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.ends: list[float] = []

    def _record(self, step: int, values: dict[str, float], log: Any) -> None:
        super()._record(step, values, log)
        self.ends.append(time.perf_counter())
        if step == STEPS:
            raise DoneError


def main() -> None:
    """Print one row of a table."""
    root, *overrides = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        ours = [f"out={folder}/run", f"data.root=[{root}]", f"iterations={STEPS}", "norms_every=0"]
        ours += ["data.pool_batches=0", "checkpoint_every=0", "validate_every=0", "log_every=1"]
        given = [*random_files(Path(folder)), *ours, *overrides]
        settings = resolve("distill", "paper", None, given)
        ready = prepare("distill", settings, "auto")
        trainer = Timed(build("distill", settings, ready.pairs), ready.accelerator)
        with contextlib.suppress(DoneError):
            trainer.run(ready.batches)
    spent = [b - a for a, b in pairwise(trainer.ends)][LEFT_OUT - 1 :]
    seconds = statistics.median(spent)
    is_gpu = ready.accelerator.device.type == "cuda"
    where = torch.cuda.get_device_name() if is_gpu else "CPU"
    peak = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if is_gpu else "not measured"
    what = f"batch {settings.batch}, micro-batch {settings.micro_batch}, {settings.precision}"
    print("| device | settings | seconds a step | samples a second | peak | 20,000 steps |")
    print(
        f"| {where} | {' '.join([what, *overrides])} | {seconds:.2f} ({min(spent):.2f} .. "
        f"{max(spent):.2f}) | {settings.batch / seconds:.1f} | {peak} | "
        f"{20_000 * seconds / 3600:.1f} h |",
        flush=True,
    )


if __name__ == "__main__":
    main()
