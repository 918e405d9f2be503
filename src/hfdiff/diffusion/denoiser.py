"""What stands around a network: input scaling, index, condition, dtype (spec 4.2, facts a.3, b).

Networks see tensors only: a scaled latent, indices of the full chain, the lq picture.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hfdiff.diffusion.schedule import ShiftSchedule

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(scaled x_t ``[B, C, h, w]``, t int64 ``[B]``, lq_pm1 ``[B, 3, h', w']``) to x_0's shape."""


@dataclass(frozen=True, eq=False)
class Denoiser:
    """A network and the schedule it was trained for.

    A network that is a module computes in the dtype of its parameters: inputs are cast to it and
    the result back to the latent's dtype, so samplers stay in float32 around a half network.

    Args:
        network: Called with (scaled x_t, t, lq_pm1).
        schedule: Full or respaced chain; the network is given indices of the full one.
        clip_x_0: Clamp x_0 to [-1, 1]. Only for diffusion on pictures without an autoencoder;
            latents are unbounded (facts b).
    """

    network: Network
    schedule: ShiftSchedule
    clip_x_0: bool = False

    def predict_x_0(self, x_t: Tensor, i: int | Tensor, lq_pm1: Tensor) -> Tensor:
        """The clean latent that the network sees in a noisy one.

        Args:
            x_t: Noisy latent ``[B, C, h, w]``, not scaled.
            i: Index in this schedule's chain, one for all or int64 ``[B]``.
            lq_pm1: Condition ``[B, 3, h', w']``.
        """
        x_0 = self.predict_x_0_unclipped(x_t, i, lq_pm1)
        return x_0.clamp(-1, 1) if self.clip_x_0 else x_0

    def predict_x_0_unclipped(self, x_t: Tensor, i: int | Tensor, lq_pm1: Tensor) -> Tensor:
        """`predict_x_0` without the clamp, whatever ``clip_x_0`` says (facts b.3)."""
        scaled = self.schedule.scale_input(x_t, i)
        if isinstance(i, int):
            timestep = self.schedule.timesteps[i]
            return self._call(
                scaled, x_t.new_full((len(x_t),), timestep, dtype=torch.int64), lq_pm1
            )
        timesteps = torch.tensor(self.schedule.timesteps, device=x_t.device)
        return self._call(scaled, timesteps[i.to(x_t.device)], lq_pm1)

    def predict_x_T(self, x_0: Tensor, lq_pm1: Tensor) -> Tensor:
        """The noisy start that belongs to a clean latent: the student's inverse direction.

        The network is told index 0, yet its input is scaled for the LAST index: published students
        were trained so (paper Eq. 7, Algorithm 1 line 8, facts b.6).
        """
        scaled = self.schedule.scale_input(x_0, self.schedule.steps - 1)
        return self._call(scaled, x_0.new_zeros(len(x_0), dtype=torch.int64), lq_pm1)

    def _call(self, scaled: Tensor, t: Tensor, lq_pm1: Tensor) -> Tensor:
        dtype = _dtype_of(self.network) or scaled.dtype
        return self.network(scaled.to(dtype), t, lq_pm1.to(dtype)).to(scaled.dtype)


def _dtype_of(network: Network) -> torch.dtype | None:
    parameters = network.parameters() if isinstance(network, nn.Module) else iter(())
    first = next((p for p in parameters if p.is_floating_point()), None)
    return None if first is None else first.dtype
