"""The one training loop: devices, precision, accumulation, averages, logging, checkpoints, resume.

Everything random in step n follows from (seed, n), so a run that is killed and resumed computes
what an undisturbed one computes, to the bit on a CPU with the same number of threads.
"""

import contextlib
import logging
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from hfdiff.core.errors import ResourceError, SettingsError
from hfdiff.core.files import replacing
from hfdiff.core.rng import derive
from hfdiff.core.settings import to_yaml
from hfdiff.data.batches import Batch, PairBatches, batch_loader
from hfdiff.training import finite, start
from hfdiff.training.board import Board
from hfdiff.training.buffers import HeldBuffers
from hfdiff.training.ema import averaged
from hfdiff.training.log import Pace, RunLog, duration
from hfdiff.training.stage import Phase, Stage
from hfdiff.training.state import load_newest, save_checkpoint, tidy
from hfdiff.training.stopping import StoppedError, StopWish

_log = logging.getLogger(__name__)
MODEL, BEST = "model.safetensors", "best.safetensors"
"""What a run exports: its last averaged weights, and those of its best validation."""


class Trainer:
    """Runs a stage to its last step.

    Args:
        stage: What is trained.
        accelerator: Devices and processes; made by `make_accelerator`.

    Attributes:
        seconds: What the last ``step``, ``validation``, ``checkpoint`` and ``export`` took.
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
        self.networks.train().requires_grad_(requires_grad=True)
        self.averaged = averaged(self.networks, self.settings.ema, warm_up=self.settings.ema_warmup)
        self.optimisers = {phase.name: self._optimiser(phase) for phase in stage.phases}
        self._wish = StopWish()
        self._saved = -1
        self._pace = Pace(self.settings.batch)
        self.seconds: dict[str, float] = {}

    def run(self, batches: PairBatches, *, resume: bool = False) -> Path:
        """Train, with checkpoints and validation on the way; returns the exported model file.

        Raises:
            NotFiniteError: when a number is not finite, naming the term and the batch's pictures.
            StoppedError: when a signal or `stop` asked for an end; the state is saved.
            ResourceError: when the disk has no room.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        step = self._load() if resume else 0
        log = self._begin(step) if self.accelerator.is_main_process else None
        with contextlib.ExitStack() as open_until_then:
            open_until_then.enter_context(self._wish.listening())
            if log is not None:
                open_until_then.callback(log.close)
            if resume and log is not None and not log.has_validation(step):
                self._validate(step, log)  # it was due, and the end of the run came first
            with contextlib.closing(self._batches(batches, step)) as loaded:
                for batch in loaded:
                    values = self._shared(self._step(step, batch))
                    step += 1
                    if log is not None:
                        self._record(step, values, log)
                    self._after(step, log)
                    if self._agreed_to_stop():
                        self._save(step)
                        self.accelerator.wait_for_everyone()
                        raise StoppedError(step, self._wish.signal_number)
            self._save(step)
        return self._export(step)

    @property
    def seconds_per_step(self) -> float:
        """At the pace of the newest steps."""
        return self._pace.seconds_for(1)

    def stop(self) -> None:
        """Save after the current step and end the run."""
        self._wish.is_wished = True

    def _begin(self, step: int) -> RunLog:
        """Say and write down what is about to run."""
        state = [*self.networks.parameters(), *self.averaged.parameters()]
        moments = 2 * sum(parameter.nbytes for parameter in self.networks.parameters())
        size = moments + sum(tensor.nbytes for tensor in state)
        start.check_room(self.out, size * (self.settings.keep + 1))
        with replacing(self.out / "config.yaml") as scratch:
            scratch.write_text(to_yaml(self.settings), encoding="utf-8")
        start.write_environment(
            self.out, step, self.settings, self.accelerator.device, self.accelerator.num_processes
        )
        for line in start.report(self.stage, self.accelerator.num_processes):
            _log.info("%s", line)
        board = Board(self.out / "tensorboard", step) if self.settings.tensorboard else None
        log = RunLog(self.out / "metrics.csv", step, board)
        log.add(step, {f"weight/{name}": w for name, w in self.stage.weights().items()})
        return log

    def _optimiser(self, phase: Phase) -> torch.optim.AdamW:
        parameters = [p for name in phase.networks for p in self.networks[name].parameters()]
        if not parameters:
            raise SettingsError(f"phase {phase.name} has nothing to train")
        wanted = self.settings.optimiser
        return torch.optim.AdamW(
            parameters,
            lr=wanted.learning_rate,
            betas=wanted.betas,
            weight_decay=wanted.weight_decay,
        )

    def _batches(self, batches: PairBatches, step: int) -> Generator[Batch]:
        """This process's batches from ``step`` on, on its device; the pace is taken meanwhile."""
        last, workers = self.settings.iterations, self.settings.data.workers
        device = self.accelerator.device
        with contextlib.closing(batch_loader(batches, step, last, workers, device)) as loader:
            self._pace.start()
            for batch in loader:
                yield batch
                self._pace.start()

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
            norm = self._share_and_clip(optimiser)
            if not norm < float("inf"):
                raise self._gradient_error(step, phase, batch)
            values[f"{phase.name}/gradient_norm"] = norm
            optimiser.step()
        self.averaged.update_parameters(self.networks)
        self._pace.stop()
        return values

    def _accumulate(self, step: int, phase: Phase, batch: Batch) -> dict[str, float]:
        """Gradients of one phase over micro-batches; the means of its raw terms."""
        means: dict[str, float] = {}
        every = self.settings.norms_every
        weights = self.stage.weights()
        trained = [name in phase.networks for name in self.networks]
        networks = list(zip(trained, self.networks.values(), strict=True))
        buffers = HeldBuffers([n for t, n in networks if t], [n for t, n in networks if not t])
        for number, part in enumerate(self._parts(batch)):
            share = len(part) / len(batch)
            terms = self.terms(step, phase, part)
            finite.check_terms(terms, part, self.networks, step=step)
            if every and step % every == 0 and number == 0:
                norms = self._norms(terms).items()
                means |= {f"{phase.name}/norm_of/{name}": norm for name, norm in norms}
            total = sum((weights[name] * term for name, term in terms.items()), torch.tensor(0.0))
            self.accelerator.backward(total * share)
            buffers.take(share)
            for name, term in terms.items():
                means[name] = means.get(name, 0.0) + share * float(term.detach())
        buffers.settle(self._mean_over_processes)
        return means

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        size = self.settings.micro_batch or len(batch)
        for begin in range(0, len(batch), size):
            yield batch.part(begin, min(begin + size, len(batch)))

    def terms(self, step: int, phase: Phase, part: Batch) -> Mapping[str, Tensor]:
        """Raw terms of a phase on a part of a step's batch."""
        # One seed for all parts and processes: stages draw for the whole batch and take their rows.
        seed = derive(self.settings.seed, "step", step, phase.name)
        # On the device itself: drawing millions of normals on the CPU would keep a GPU waiting.
        generator = torch.Generator(self.accelerator.device).manual_seed(seed)
        with self.accelerator.autocast():
            return self.stage.losses(phase.name, part, generator)

    def _norms(self, terms: Mapping[str, Tensor]) -> dict[str, float]:
        """Gradient norm of every weighted term on its own, to see which one rules."""
        parameters = [p for p in self.networks.parameters() if p.requires_grad]
        norms = {}
        for name, term in terms.items():
            weighted = self.stage.weights()[name] * term
            if not weighted.requires_grad:
                continue
            grads = torch.autograd.grad(weighted, parameters, retain_graph=True, allow_unused=True)
            squares = [g.float().square().sum() for g in grads if g is not None]
            norms[name] = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
        return norms

    def _gradient_error(self, step: int, phase: Phase, batch: Batch) -> finite.NotFiniteError:
        """Which term's gradient is not finite: each is computed again, on its own."""
        for part in self._parts(batch):
            norms = self._norms(self.terms(step, phase, part))
            spoilt = [name for name, norm in norms.items() if not norm < float("inf")]
            if spoilt:
                return finite.gradient_error(phase.name, spoilt, part, step=step)
        return finite.gradient_error(phase.name, [], batch, step=step)

    def _share_and_clip(self, optimiser: torch.optim.Optimizer) -> float:
        """Average gradients over processes, clip them, and give their norm before clipping."""
        parameters = [p for p in optimiser.param_groups[0]["params"] if p.grad is not None]
        for parameter in parameters:
            parameter.grad = self._mean_over_processes(cast(Tensor, parameter.grad))
        limit = self.settings.optimiser.clip or float("inf")
        return float(torch.nn.utils.clip_grad_norm_(parameters, limit))

    def _mean_over_processes(self, tensor: Tensor) -> Tensor:
        if self.accelerator.num_processes == 1:
            return tensor
        return cast(Tensor, self.accelerator.reduce(tensor, reduction="mean"))

    def _shared(self, values: Mapping[str, float]) -> dict[str, float]:
        """Numbers of one step, averaged over processes."""
        if self.accelerator.num_processes == 1:
            return dict(values)
        device = self.accelerator.device
        mine = torch.tensor(list(values.values()), dtype=torch.float32, device=device)
        return dict(zip(values, self._mean_over_processes(mine).tolist(), strict=True))

    def _agreed_to_stop(self) -> bool:
        """Whether any process was asked to stop: signals reach them in different steps."""
        wished = torch.tensor(float(self._wish.is_wished), device=self.accelerator.device)
        return bool(self._mean_over_processes(wished) > 0)

    def _record(self, step: int, values: dict[str, float], log: RunLog) -> None:
        """Every step into the CSV, every so manieth to people."""
        rate = values.pop("learning_rate")
        if step % self.settings.log_every == 0 or step == self.settings.iterations:
            values |= {"learning_rate": rate, "samples_per_second": self._pace.samples_per_second}
            shown = {name: value for name, value in values.items() if "/norm_of/" not in name}
            log.say(step, self.settings.iterations, shown, duration(self._seconds_left(step)))
        with _writing("the log", self.out):
            log.add(step, values)

    def _seconds_left(self, step: int) -> float:
        """Of steps, and of the validations behind ``step`` and later, once one has been timed."""
        every, last = self.settings.validate_every, self.settings.iterations
        due = -(-last // every) - (step - 1) // every if every else 0
        return self._pace.seconds_for(last - step) + due * self.seconds.get("validation", 0.0)

    def _after(self, step: int, log: RunLog | None) -> None:
        every = self.settings.checkpoint_every
        if every and step % every == 0:
            self._save(step)
        if log is not None:
            self._validate(step, log)

    def _validate(self, step: int, log: RunLog) -> None:
        every, last = self.settings.validate_every, step == self.settings.iterations
        if not every or step == 0 or self._wish.is_wished or (step % every and not last):
            return
        with (
            self._wish.breakable(),
            torch.random.fork_rng(devices=[]),
            self._timed("validation"),
        ):
            metrics = self.stage.validate(self._average(), self.out / "samples" / f"{step:08d}")
            values = {f"validation/{name}": value for name, value in metrics.items()}
            if not values:
                return
            # Before its row is written: after a kill between the two both are made again.
            if log.is_lowest(f"validation/{self.stage.best_by}", values):
                self._write_model(step, self.out / BEST)
            log.add(step, values)
            log.say(step, self.settings.iterations, values)

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin

    def _average(self) -> Mapping[str, nn.Module]:
        return dict(cast(nn.ModuleDict, self.averaged.module).items())

    def _modules(self) -> Mapping[str, nn.Module]:
        return {"networks": self.networks, "averaged": self.averaged}

    def _save(self, step: int) -> None:
        """Write a checkpoint, unless the newest one is of this very step.

        Raises:
            NotFiniteError: when the weights are not worth keeping.
            ResourceError: when it cannot be written; the one before is intact.
        """
        if step == self._saved or not self.accelerator.is_main_process:
            return
        finite.check_weights(self._modules(), step=step)
        with _writing(f"the checkpoint of step {step}", self.out), self._timed("checkpoint"):
            save_checkpoint(
                self.out / "checkpoints",
                step,
                self._modules(),
                self.optimisers,
                keep=self.settings.keep,
                settings=to_yaml(self.settings),
            )
        self._saved = step

    def _load(self) -> int:
        folder = self.out / "checkpoints"
        restored = load_newest(folder, self._modules(), self.optimisers)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            tidy(folder, restored.step)
            for line in start.changes(restored.settings, self.settings):
                _log.warning("other than in the checkpoint: %s", line)
            _log.info("resuming after step %d", restored.step)
        self._saved = restored.step or -1
        return restored.step

    def _export(self, step: int) -> Path:
        path = self.out / MODEL
        if self.accelerator.is_main_process:
            self._write_model(step, path)
        self.accelerator.wait_for_everyone()
        return path

    def _write_model(self, step: int, path: Path) -> None:
        """The averaged weights of now as a model file."""
        training = {
            "stage": type(self.stage).__name__,
            "steps": step,
            "batch": self.settings.batch,
            "seed": self.settings.seed,
            "start": Path(self.settings.start).name,
            "data": [Path(root).name for root in self.settings.data.root],
            "configuration": start.configuration_hash(self.settings),
        }
        with _writing("the model file", self.out), self._timed("export"):
            self.stage.export(self._average(), path, training)


@contextlib.contextmanager
def _writing(what: str, folder: Path) -> Iterator[None]:
    """A full or lost disk in one sentence."""
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{what} cannot be written below {folder}: {error}",
            hint="the last checkpoint is intact: make room, then --resume",
        ) from error


def make_accelerator(precision: str, device: str) -> Accelerator:
    """Accelerate's view of this process: ``cpu`` stays on the CPU, ``auto`` takes what is there.

    Raises:
        SettingsError: for any other device: which of several is the launcher's business.
    """
    if device not in ("auto", "cpu"):
        raise SettingsError(f"device must be auto or cpu, got {device}")
    mixed = "bf16" if precision == "bfloat16" else "no"
    torch.backends.cudnn.benchmark = True  # patches have one size: let CUDA find the fastest forms
    return Accelerator(mixed_precision=mixed, cpu=device == "cpu")


def _placed(network: nn.Module, accelerator: Accelerator) -> nn.Module:
    # Channels last is the layout that convolutions of CPUs and tensor cores work in.
    return network.to(accelerator.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
