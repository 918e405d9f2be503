"""The codebook of a VQ autoencoder: nearest codes, straight-through gradient, loss (facts d.4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DISTANCES_AT_ONCE = 2**22
"""Most distances held at a time (16 MiB); a large latent is searched in blocks of positions."""


class VectorQuantiser(nn.Module):
    """Replaces every position of a latent by the nearest of ``codes`` learned vectors."""

    def __init__(self, codes: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, channels)
        nn.init.uniform_(self.embedding.weight, -1 / codes, 1 / codes)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise ``[B, C_z, h, w]``.

        Returns:
            The codes with the gradient passed straight to ``latent``, and their indices
            ``[B, h, w]``, which are found without gradient.
        """
        indices = self.nearest(latent)
        codes = self.codes(indices).to(latent.dtype)
        return latent + (codes - latent).detach(), indices

    @torch.no_grad()
    def nearest(self, latent: Tensor) -> Tensor:
        """Index of the nearest code per position, int64 ``[B, h, w]``; float32 or better inside.

        Ties are undefined. Memory does not grow with positions times codes.
        """
        with torch.autocast(latent.device.type, enabled=False):
            return self._nearest(latent)

    def _nearest(self, latent: Tensor) -> Tensor:
        dtype = torch.promote_types(latent.dtype, torch.float32)
        book = self.embedding.weight.to(dtype)
        squares = book.square().sum(dim=1)
        positions = latent.movedim(1, -1).reshape(-1, latent.shape[1]).to(dtype)
        blocks = torch.split(positions, max(1, DISTANCES_AT_ONCE // len(book)))
        # |z|^2 is the same for all codes of a position, so it does not decide.
        found = [torch.addmm(squares, block, book.T, alpha=-2).argmin(dim=1) for block in blocks]
        return torch.cat(found).view(len(latent), *latent.shape[2:])

    def codes(self, indices: Tensor) -> Tensor:
        """Codebook vectors ``[B, C_z, h, w]`` of indices ``[B, h, w]``; gradient to the book."""
        return self.embedding(indices).movedim(-1, 1)


def codebook_loss(latent: Tensor, codes: Tensor, *, beta: float = 0.25) -> Tensor:
    """Pull latents to their codes and, with weight ``beta``, codes to their latents (facts d.4).

    The published ("legacy") form has beta on the codebook term, not on the commitment term.

    Args:
        latent: Before quantisation, ``[B, C_z, h, w]``.
        codes: `VectorQuantiser.codes` of its indices, same shape.
        beta: Weight of the codebook term.
    """
    latent, codes = latent.float(), codes.float()
    commitment = F.mse_loss(latent, codes.detach())
    return commitment + beta * F.mse_loss(codes, latent.detach())
