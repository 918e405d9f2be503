"""The published draws (facts f.2, f.8): decisions of whole batches, and a pool that mixes pairs.

The pool here holds numbers of samples, not pictures. A sample follows from its number, so what the
pool holds after n batches follows from n: workers, processes and a resumed run all find the same.
"""

from functools import lru_cache

import torch

from hfdiff.core.errors import SettingsError
from hfdiff.core.rng import derive, numpy_rng
from hfdiff.degradation.config import DegradationConfig, Mixture
from hfdiff.degradation.decisions import Decisions, decide_batch
from hfdiff.degradation.pool import PairPool


@lru_cache(maxsize=256)  # a pool of ten batches is fed by some dozens of them
def batch_decisions(
    degradation: DegradationConfig | Mixture, *, seed: int, batch: int, number: int
) -> tuple[Decisions, ...]:
    """What happens to each sample of batch number ``number``: one structure for all of them."""
    return decide_batch(degradation, batch, rng=numpy_rng(seed, "batch decisions", number))


class PoolOrder:
    """Numbers of the samples that a pool gives out as batch number n.

    Args:
        seed: The run's.
        batch: Samples of a batch.
        batches: How many of them the pool holds; as published, 10.
    """

    def __init__(self, seed: int, batch: int, batches: int) -> None:
        if batches < 1:
            raise SettingsError(f"a pair pool must hold at least one batch, got {batches}")
        self._seed = seed
        self._batch = batch
        self._size = batch * batches
        self._restart()

    def __getitem__(self, number: int) -> list[int]:
        """Of batch ``number``; the next one is at once there, an earlier one is counted anew."""
        if number < self._next - 1:
            self._restart()
        while self._next <= number:
            self._given = self._exchange(self._next)
            self._next += 1
        return self._given

    def _restart(self) -> None:
        self._pool, self._next, self._given = PairPool(self._size), 0, list[int]()

    def _exchange(self, number: int) -> list[int]:
        new = torch.arange(number * self._batch, (number + 1) * self._batch)
        generator = torch.Generator().manual_seed(derive(self._seed, "pool", number))
        lq, _ = self._pool.exchange(new, new, generator=generator)
        return [int(sample) for sample in lq]
