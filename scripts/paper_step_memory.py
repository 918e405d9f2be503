"""Memory and seconds of one distillation step at the paper's sizes on the CPU, part by part.

    python scripts/paper_step_memory.py [SAMPLES]

Networks of the published sizes with random weights and preset `paper`, whose micro-batch is SAMPLES
(default 2) here and whose chunk is 1. Peaks are beyond weights and the frozen networks; gradients
of the student's weights (0.44 GiB) are in those of backward passes.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from measure_backward_forms import peak_bytes
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

from hfdiff.data.batches import Batch
from hfdiff.losses.chunks import mean_in_chunks
from hfdiff.model.build import build_model
from hfdiff.model.config import ModelConfig
from hfdiff.model.extractor_file import save_extractor
from hfdiff.model.model_file import ModelCard, save_model
from hfdiff.nn.autoencoder import VQAutoencoderConfig
from hfdiff.nn.extractor import Extractor, ExtractorConfig
from hfdiff.nn.swin_unet import SwinUNetConfig
from hfdiff.training.run import build, resolve

CARD = ModelCard(name="random", licence="Apache-2.0")


def main() -> None:
    """Print a table of parts and of whole steps."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    with tempfile.TemporaryDirectory() as folder:
        stage = _stage(Path(folder), samples)
    generator = torch.Generator().manual_seed(0)
    side = stage.settings.data.gt_size
    gt_pm1 = torch.rand(samples, 3, side, side, generator=generator) * 2 - 1
    lq_pm1 = torch.nn.functional.avg_pool2d(gt_pm1, 4)
    batch = Batch(gt_pm1=gt_pm1, lq_pm1=lq_pm1, names=("",) * samples)
    print(f"| {samples} samples | peak MiB | seconds |\n| --- | --- | --- |")
    kept: dict[bool, list[Tensor]] = {}
    for name, run in _parts(stage, batch, generator).items():
        for again in (False, True) if "student" in name else (False,):
            stage.networks()["student"].recomputes = again
            stage.networks()["student"].zero_grad()
            begin = time.perf_counter()
            peak = peak_bytes(run)
            form = ", recomputed" if again else ""
            print(f"| {name}{form} | {peak / 2**20:.0f} | {time.perf_counter() - begin:.0f} |")
            kept[again] = [p.grad for p in stage.networks()["student"].parameters()]
    pairs = zip(kept[False], kept[True], strict=True)
    worst = max(float((a - b).norm() / a.norm()) for a, b in pairs)
    print(f"\ngradients of the whole step differ by at most {worst:.0e} of their norm")


def random_files(folder: Path) -> list[str]:
    """Networks of the published sizes with random weights, as settings that name their files."""
    torch.default_generator.manual_seed(0)
    model = build_model(
        ModelConfig(codec=VQAutoencoderConfig(), network=SwinUNetConfig(), role="teacher")
    )
    save_model(folder / "teacher.safetensors", _random(model), CARD)
    save_extractor(folder / "h.safetensors", _random(Extractor(ExtractorConfig())), CARD)
    vit_s = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14)
    Dinov2Model(vit_s).save_pretrained(folder / "dino")
    return [
        f"start={folder / 'teacher.safetensors'}",
        f"features.extractor={folder / 'h.safetensors'}",
        f"features.dino={folder / 'dino'}",
    ]


def _stage(folder: Path, samples: int) -> Any:
    """Preset paper on random networks, its student ready to learn."""
    settings = resolve("distill", "paper", None, random_files(folder))
    settings = replace(settings, batch=samples, micro_batch=0, chunk=1)
    stage: Any = build("distill", settings, [])
    for frozen in stage.frozen():
        frozen.eval().requires_grad_(requires_grad=False)
    stage.networks()["student"].train().requires_grad_(requires_grad=True)
    return stage


def _random(network: Any) -> Any:
    """With no weight left at zero, so that everything matters."""
    for parameter in network.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
        nn.init.normal_(parameter, std=fan_in**-0.5)
    return network


def _parts(
    stage: Any, batch: Batch, generator: torch.Generator
) -> Mapping[str, Callable[[], object]]:
    noise = torch.randn(len(batch), *stage.latent_shape(batch), generator=generator)
    inputs = stage.inputs(batch, noise=noise)
    y, x_T = inputs.y, inputs.x_T

    def student() -> None:
        answers = [inputs.student.predict_x_0(x_T) for _ in range(3)]
        torch.stack(answers).square().mean().backward()

    def decoded() -> None:
        inputs.student.decode(y.clone().requires_grad_()).square().mean().backward()

    def term(name: str) -> Callable[[], None]:
        def run() -> None:
            fake = _Pictures(batch.gt_pm1, batch.gt_pm1.roll(1, -1).requires_grad_())
            stage._terms[name](fake).backward()

        return run

    def whole() -> None:
        terms = stage.losses("student", batch, torch.Generator().manual_seed(1))
        torch.stack([stage.weights()[n] * term for n, term in terms.items()]).sum().backward()

    return {
        "encode gt and enlarged lq": lambda: stage.inputs(batch, noise=noise),
        "teacher, 15 calls": lambda: inputs.teacher(x_T),
        "student, 3 calls forward, then backward": student,
        "decode the sr and back, one picture at a time": decoded,
        "hf, one picture at a time": term("hf"),
        "js_dino, one picture at a time": term("js_dino"),
        "the whole step of the student": whole,
    }


class _Pictures:
    """As much of `DistillInputs` as a picture term asks for."""

    def __init__(self, gt_pm1: Tensor, sr_pm1: Tensor) -> None:
        self.gt_pm1, self.sr_pm1 = gt_pm1, sr_pm1

    def mean_over_pictures(self, term: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """As that of `DistillInputs`, with a chunk of 1."""
        return mean_in_chunks(term, (self.sr_pm1, self.gt_pm1), 1)


if __name__ == "__main__":
    main()
