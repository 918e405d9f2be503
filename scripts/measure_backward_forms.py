"""Peak memory, time and gradients of the invertible modules' two backward forms, by K.

    python scripts/measure_backward_forms.py [SIDE] [K ...]

One picture's features of SIDE x SIDE (default 128) at the paper's width of 128 in float32, with
weights of the spread that torch gives fresh convolutions: forward and backward of a mean square,
gradients for the input and every weight. What differs comes from single units of a LeakyReLU whose
input the reconstruction puts on the other side of 0; with a smooth function it is rounding.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from hfdiff.nn.invertible import BackwardForm, InvertibleConfig, InvertibleStack


def peak_bytes(run: Callable[[], object]) -> int:
    """Most bytes that torch had allocated at once during ``run``."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    now = peak = 0
    for event in record.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


def main() -> None:
    """Print one line for each K and form."""
    side, *counts = [int(argument) for argument in sys.argv[1:]] or [128]
    for modules in counts or [3, 6, 12]:
        generator = torch.Generator().manual_seed(modules)
        stack = InvertibleStack(InvertibleConfig(modules=modules))
        for parameter in stack.parameters():
            spread = (3 * parameter[0].numel()) ** -0.5 if parameter.ndim > 1 else 0.05
            parameter.data = spread * torch.randn(parameter.shape, generator=generator)
        z = torch.randn(1, 128, side, side, generator=generator)
        found = {form: _gradients(stack, z, form) for form in ("ordinary", "reconstruct")}
        pairs = list(zip(found["ordinary"], found["reconstruct"], strict=True))
        largest = max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)
        norm = max(float((a - b).norm() / a.norm()) for a, b in pairs)
        print(
            f"K = {modules:2} gradients differ by {norm:.1e} of their norm, by {largest:.1e} of "
            f"their largest entry; reconstruction error {stack.reconstruction_error:.1e}"
        )


def _gradients(stack: InvertibleStack, z: Tensor, form: BackwardForm) -> list[Tensor]:
    stack.backward_form = form
    kept: list[Tensor] = []

    def run() -> None:
        stack.zero_grad()
        leaf = z.clone().requires_grad_()
        stack(leaf).square().mean().backward()
        kept[:] = [t.grad for t in (leaf, *stack.parameters()) if t.grad is not None]

    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    stack.zero_grad()
    kept.clear()
    print(
        f"K = {stack.config.modules:2} {form:<11} peak {peak_bytes(run) / 2**20:7.1f} MiB  "
        f"{seconds:5.2f} s"
    )
    return kept


if __name__ == "__main__":
    main()
