"""Seeds derived by name, not by sequence.

``derive(seed, "degrade", epoch, index)`` is the same number whatever was drawn before it, so data
workers, resuming and re-ordering do not change a sample.
"""

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed that is a pure function of a seed and a path of names and numbers."""
    text = "/".join([str(seed), *(f"{type(name).__name__}:{name}" for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_rng(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator (Philox, counter-based) for one named purpose."""
    return np.random.Generator(np.random.Philox(key=derive(seed, *names)))
