"""The one training loop: devices, precision, accumulation, averages, logging, checkpoints, resume.

Everything random in step n follows from (seed, n), so a run that is killed and resumed computes
what an undisturbed one computes, to the bit on a CPU with the same number of threads.
"""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hfdiff.core.errors import HFDiffError
from hfdiff.core.files import replacing
from hfdiff.core.rng import derive
from hfdiff.core.settings import to_yaml
from hfdiff.data.batches import Batch, PairBatches, batch_loader
from hfdiff.training.log import RunLog
from hfdiff.training.stage import Phase, Stage
from hfdiff.training.state import load_newest, save_checkpoint

_log = logging.getLogger(__name__)


class NotFiniteError(HFDiffError, ArithmeticError):
    """A term became NaN or infinite; the last checkpoint is intact."""


class Trainer:
    """Runs a stage to its last step.

    Args:
        stage: What is trained.
        accelerator: Devices and processes; made by `make_accelerator`.
    """

    def __init__(self, stage: Stage, accelerator: Accelerator) -> None:
        self.stage = stage
        self.settings = stage.settings
        self.accelerator = accelerator
        self.out = Path(self.settings.out)
        self.networks = nn.ModuleDict(
            {name: _placed(net, accelerator) for name, net in stage.networks().items()}
        )
        for frozen in stage.frozen():
            _placed(frozen, accelerator).eval().requires_grad_(requires_grad=False)
        average = moving_average(self.settings.ema, warm_up=self.settings.ema_warmup)
        self.averaged = AveragedModel(self.networks, multi_avg_fn=average)
        self.optimisers = {phase.name: self._optimiser(phase) for phase in stage.phases}
        self._stop = False

    def run(self, batches: PairBatches, *, resume: bool = False) -> Path:
        """Train, with checkpoints and validation on the way; returns the exported model file.

        Raises:
            NotFiniteError: when a term is no finite number, naming it and the batch's pictures.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        step = self._load() if resume else 0
        with replacing(self.out / "config.yaml") as scratch:
            scratch.write_text(to_yaml(self.settings), encoding="utf-8")
        log = RunLog(self.out / "metrics.csv", step)
        loader = batch_loader(batches, step, self.settings.iterations, self.settings.data.workers)
        with _terminated(self):
            begin, since = time.perf_counter(), step
            for batch in loader:
                values = self._step(step, batch.to(self.accelerator.device))
                step += 1
                if step % self.settings.log_every == 0 or step == self.settings.iterations:
                    spent = time.perf_counter() - begin
                    values["samples_per_second"] = (
                        (step - since) * self.settings.batch / max(spent, 1e-9)
                    )
                    log.add(step, values)
                    log.say(step, self.settings.iterations, values)
                    begin, since = time.perf_counter(), step
                self._after(step, log)
                if self._stop:
                    self._save(step)
                    raise KeyboardInterrupt
        self._save(step)
        return self._export(step)

    def _optimiser(self, phase: Phase) -> torch.optim.AdamW:
        parameters = [p for name in phase.networks for p in self.networks[name].parameters()]
        wanted = self.settings.optimiser
        return torch.optim.AdamW(
            parameters,
            lr=wanted.learning_rate,
            betas=wanted.betas,
            weight_decay=wanted.weight_decay,
        )

    def _step(self, step: int, batch: Batch) -> dict[str, float]:
        """One optimiser step of every phase that is due; its numbers for the log."""
        rate = self.settings.optimiser.rate(step, self.settings.iterations)
        values: dict[str, float] = {"learning_rate": rate}
        for phase in self.stage.phases:
            if step % phase.every:
                continue
            for name, network in self.networks.items():
                network.requires_grad_(name in phase.networks)
            optimiser = self.optimisers[phase.name]
            optimiser.param_groups[0]["lr"] = rate
            optimiser.zero_grad(set_to_none=True)
            values |= self._accumulate(step, phase, batch)
            values[f"{phase.name}/gradient_norm"] = self._share_and_clip(optimiser)
            optimiser.step()
        self.averaged.update_parameters(self.networks)
        return values

    def _accumulate(self, step: int, phase: Phase, batch: Batch) -> dict[str, float]:
        """Gradients of one phase over micro-batches; the means of its raw terms."""
        size = self.settings.micro_batch or len(batch)
        means: dict[str, float] = {}
        every = self.settings.norms_every
        for start in range(0, len(batch), size):
            part = batch.part(start, min(start + size, len(batch)))
            share = len(part) / len(batch)
            with self.accelerator.autocast():
                terms = self.stage.losses(phase.name, part, self._generator(step, phase, start))
            _check_finite(terms, part, step)
            if every and step % every == 0 and start == 0:
                means |= self._norms(phase, terms)
            weights = self.stage.weights()
            total = sum((weights[name] * term for name, term in terms.items()), torch.tensor(0.0))
            self.accelerator.backward(total * share)
            for name, term in terms.items():
                means[name] = means.get(name, 0.0) + share * float(term.detach())
        return means

    def _generator(self, step: int, phase: Phase, start: int) -> torch.Generator:
        rank = self.accelerator.process_index
        seed = derive(self.settings.seed, "step", step, phase.name, rank, start)
        return torch.Generator().manual_seed(seed)

    def _norms(self, phase: Phase, terms: Mapping[str, Tensor]) -> dict[str, float]:
        """Gradient norm of every weighted term on its own, to see which one rules."""
        parameters = [p for p in self.networks.parameters() if p.requires_grad]
        norms = {}
        for name, term in terms.items():
            weighted = self.stage.weights()[name] * term
            if not weighted.requires_grad:
                continue
            grads = torch.autograd.grad(weighted, parameters, retain_graph=True, allow_unused=True)
            squares = [g.float().square().sum() for g in grads if g is not None]
            norms[f"{phase.name}/norm_of/{name}"] = float(torch.stack(squares).sum().sqrt())
        return norms

    def _share_and_clip(self, optimiser: torch.optim.Optimizer) -> float:
        """Average gradients over processes, clip them, and give their norm before clipping."""
        parameters = [p for p in optimiser.param_groups[0]["params"] if p.grad is not None]
        if self.accelerator.num_processes > 1:
            for parameter in parameters:
                parameter.grad = self.accelerator.reduce(parameter.grad, reduction="mean")
        limit = self.settings.optimiser.clip or float("inf")
        return float(torch.nn.utils.clip_grad_norm_(parameters, limit))

    def _after(self, step: int, log: RunLog) -> None:
        settings = self.settings
        if settings.checkpoint_every and step % settings.checkpoint_every == 0:
            self._save(step)
        last = step == settings.iterations
        if settings.validate_every and (step % settings.validate_every == 0 or last):
            with torch.random.fork_rng(devices=[]):
                metrics = self.stage.validate(self._average(), self.out / "samples" / f"{step:08d}")
            values = {f"validation/{name}": value for name, value in metrics.items()}
            log.add(step, values)
            log.say(step, settings.iterations, values)

    def _average(self) -> Mapping[str, nn.Module]:
        return dict(cast(nn.ModuleDict, self.averaged.module).items())

    def _modules(self) -> Mapping[str, nn.Module]:
        return {"networks": self.networks, "averaged": self.averaged}

    def _save(self, step: int) -> None:
        if self.accelerator.is_main_process:
            save_checkpoint(
                self.out / "checkpoints",
                step,
                self._modules(),
                self.optimisers,
                keep=self.settings.keep,
                settings=to_yaml(self.settings),
            )

    def _load(self) -> int:
        step = load_newest(self.out / "checkpoints", self._modules(), self.optimisers)
        _log.info("resuming after step %d", step)
        return step

    def _export(self, step: int) -> Path:
        path = self.out / "model.safetensors"
        training = {
            "stage": type(self.stage).__name__,
            "steps": step,
            "batch": self.settings.batch,
            "seed": self.settings.seed,
            "start": Path(self.settings.start).name,
        }
        self.stage.export(self._average(), path, training)
        return path

    def stop(self) -> None:
        """Save after the current step and end the run."""
        self._stop = True


def moving_average(decay: float, *, warm_up: bool) -> Callable[..., None]:
    """How averaged weights follow: e <- d e + (1 - d) w.

    With ``warm_up`` the decay d of update n is at most (1 + n) / (10 + n), so that short runs are
    not averages of their start; the published trainings have none (facts e.6).
    """

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: int | Tensor) -> None:
        n = int(count)
        d = min(decay, (1 + n) / (10 + n)) if warm_up else decay
        torch._foreach_lerp_(averaged, current, 1 - d)

    return update


def make_accelerator(precision: str, device: str) -> Accelerator:
    """Accelerate's view of this process: ``cpu`` stays on the CPU, ``auto`` takes what is there."""
    mixed = "bf16" if precision == "bfloat16" else "no"
    return Accelerator(mixed_precision=mixed, cpu=device == "cpu")


def _placed(network: nn.Module, accelerator: Accelerator) -> nn.Module:
    # Channels last is the layout that convolutions of CPUs and tensor cores work in.
    return network.to(accelerator.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _check_finite(terms: Mapping[str, Tensor], batch: Batch, step: int) -> None:
    for name, term in terms.items():
        if not bool(torch.isfinite(term)):
            files = ", ".join(batch.names)
            raise NotFiniteError(
                f"term {name} is {float(term.detach())} in step {step}; the batch holds {files}",
                hint="the last checkpoint is intact; lower the learning rate or look at the files",
            )


@contextlib.contextmanager
def _terminated(trainer: Trainer) -> Iterator[None]:
    """SIGTERM ends the run after the current step, with a checkpoint."""

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        trainer.stop()

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
