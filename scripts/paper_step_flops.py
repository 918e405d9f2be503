"""Count what one distillation step at the paper's sizes computes, part by part, for one sample.

    python scripts/paper_step_flops.py

Networks are built without storage and only counted. A multiplication with its addition is two
FLOPs; a backward pass to a network's input and weights counts twice its forward pass, to its input
alone once. The hours are an estimate from a GPU's published peak and an assumed share of it.
"""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hfdiff.diffusion.schedule import ShiftSchedule
from hfdiff.nn.autoencoder import VQAutoencoder, VQAutoencoderConfig
from hfdiff.nn.extractor import Extractor, ExtractorConfig
from hfdiff.nn.swin_unet import SwinUNet, SwinUNetConfig
from hfdiff.training.run import resolve

GPUS = {  # dense peak, FLOP/s
    "A100 80 GB, bfloat16": 312e12,
    "A100 80 GB, TF32": 156e12,
    "H100 SXM, bfloat16": 989e12,
}
UTILISATION = 0.3  # of the peak: assumed, not measured


def main() -> None:
    """Print the table."""
    settings = resolve("distill", "paper", None, [])
    side, batch = settings.data.gt_size, settings.batch
    small = side // settings.data.scale
    with torch.device("meta"):
        unet, codec = SwinUNet(SwinUNetConfig()), VQAutoencoder(VQAutoencoderConfig())
        extractor = Extractor(ExtractorConfig())
        latent, lq = torch.empty(1, 3, small, small), torch.empty(1, 3, small, small)
        picture = torch.empty(1, 3, side, side)
        t = torch.empty(1, dtype=torch.int64)
        call = _flops(unet, latent, t, lq)
        encode = _flops(_Calling(codec.encode), picture)
        decode = _flops(_Calling(codec.decoder), latent)
        features = _flops(extractor, picture)
    steps = ShiftSchedule.exponential().steps
    dino = _vit_flops(tokens=(224 // 14) ** 2 + 1, width=384, depth=12)
    rows = {
        "encode gt and enlarged lq": 2 * encode,
        f"teacher, {steps} calls": steps * call,
        "student, distill": 3 * call,
        "student, inv": 3 * call,
        "student, con (one call without gradient)": 4 * call,
        "decode sr, and back to the latent": 2 * decode,
        "H of gt, of sr and back": 3 * features,
        "DINOv2 of gt, of sr and back": 3 * dino,
    }
    if settings.chunk:
        rows["decoder, H and DINOv2 computed again"] = decode + 2 * features + 2 * dino
    if settings.recompute:
        rows["student computed again"] = 3 * call
    total = sum(rows.values())
    print("| part | GFLOP a sample | share |\n| --- | --- | --- |")
    for name, flops in rows.items():
        print(f"| {name} | {flops / 1e9:.0f} | {flops / total:.0%} |")
    print(f"| all | {total / 1e9:.0f} | |")
    run = settings.iterations * batch * total
    print(f"\none step of {batch}: {batch * total / 1e12:.0f} TFLOP; ", end="")
    print(f"{settings.iterations} steps: {run / 1e18:.1f} EFLOP")
    for name, peak in GPUS.items():
        print(
            f"{name}, at {UTILISATION:.0%} of its peak: {run / (UTILISATION * peak) / 3600:.0f} h"
        )


class _Calling(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        return self._function(x)  # type: ignore[operator]


def _flops(network: nn.Module, *inputs: Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    return float(counter.get_total_flops())


def _vit_flops(*, tokens: int, width: int, depth: int) -> float:
    """Of a transformer whose MLP is four times as wide; patches and norms are left out."""
    products = 12 * tokens * width**2 + 2 * tokens**2 * width
    return 2.0 * depth * products


if __name__ == "__main__":
    main()
