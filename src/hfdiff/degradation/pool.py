"""The published pair pool mixes batches whose samples share decisions over time (facts f.8)."""

import torch
from torch import Tensor

from hfdiff.core.errors import SettingsError


class PairPool:
    """Keeps pairs and gives others back, once it is full.

    Args:
        size: Pairs that it holds; as published ten times the batch.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise SettingsError(f"a pair pool must hold at least one pair, got {size}")
        self._size = size
        self._lq: Tensor | None = None
        self._gt: Tensor | None = None

    @property
    def is_full(self) -> bool:
        """Whether pairs are being exchanged, and no longer only stored."""
        return self._lq is not None and len(self._lq) == self._size

    def exchange(
        self, lq: Tensor, gt: Tensor, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Put a batch ``[B, ...]`` in; while the pool fills the same batch comes out.

        Any B up to the pool's size may come at any time; what does not fit while filling is not
        stored.
        """
        if not self.is_full:
            self._store(lq, gt)
            return lq, gt
        return self.swap(lq, gt, torch.randperm(self._size, generator=generator))

    def swap(self, lq: Tensor, gt: Tensor, permutation: Tensor) -> tuple[Tensor, Tensor]:
        """Shuffle a full pool by a permutation and exchange its first pairs for a batch's."""
        if self._lq is None or self._gt is None or not self.is_full:
            raise SettingsError("the pair pool is not full yet")
        if len(lq) > self._size:
            raise SettingsError(f"a batch of {len(lq)} does not fit a pool of {self._size} pairs")
        B, order = len(lq), permutation.to(self._lq.device)
        self._lq, self._gt = self._lq[order], self._gt[order]
        taken = self._lq[:B].clone(), self._gt[:B].clone()
        self._lq[:B], self._gt[:B] = lq, gt
        return taken

    def state_dict(self) -> dict[str, Tensor]:
        """The pairs, for a checkpoint; empty before the first batch."""
        if self._lq is None or self._gt is None:
            return {}
        return {"lq": self._lq, "gt": self._gt}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Pairs of a checkpoint.

        Raises:
            SettingsError: when they are more than the pool holds.
        """
        if state and len(state["lq"]) > self._size:
            raise SettingsError(
                f"the checkpoint's pool has {len(state['lq'])} pairs, this one holds {self._size}"
            )
        self._lq, self._gt = state.get("lq"), state.get("gt")

    def _store(self, lq: Tensor, gt: Tensor) -> None:
        if self._lq is None or self._gt is None:
            self._lq, self._gt = lq[: self._size].clone(), gt[: self._size].clone()
            return
        room = self._size - len(self._lq)
        self._lq = torch.cat((self._lq, lq[:room]))
        self._gt = torch.cat((self._gt, gt[:room]))
