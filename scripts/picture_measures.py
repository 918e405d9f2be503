"""Measures that choose pictures: sharpness, fine detail, flatness, repeats."""

import numpy as np
from PIL import Image

# Bits in which the difference hashes of two versions of one picture may differ.
HASH_DISTANCE = 5


def sharpness(picture: Image.Image) -> float:
    """Energy of the finest octave over that of the next: 0.55-0.75 untouched, 0.25 enlarged x2.

    The median over five crops (the corners' quarters and the middle) of
    RMS(x - up2(down2 x)) / RMS(down2 x - up2(down4 x)), Lanczos down and bicubic up, on the luma.
    """
    grey = picture.convert("L")
    side = 512 if min(grey.size) >= 1024 else 256
    w, h = grey.width - side, grey.height - side
    places = [(w // 4, h // 4), (3 * w // 4, h // 4), (w // 2, h // 2), (w // 4, 3 * h // 4),
              (3 * w // 4, 3 * h // 4)]  # fmt: skip
    ratios = [_octave_ratio(grey.crop((x, y, x + side, y + side))) for x, y in places]
    return float(np.median(ratios))


def _octave_ratio(crop: Image.Image) -> float:
    half = crop.resize((crop.width // 2, crop.height // 2), Image.Resampling.LANCZOS)
    quarter = half.resize((half.width // 2, half.height // 2), Image.Resampling.LANCZOS)
    fine, coarse = _lost(crop, half), _lost(half, quarter)
    # Without any structure the ratio says nothing; rounding to levels alone gives about 0.3.
    return fine / coarse if coarse > 0.3 else 1.0


def detail_of(tile: Image.Image) -> float:
    """Energy of the finest octave in grey levels: what a x2 enlargement would lose."""
    grey = tile.convert("L")
    return _lost(grey, grey.resize((grey.width // 2, grey.height // 2), Image.Resampling.LANCZOS))


def _lost(picture: Image.Image, smaller: Image.Image) -> float:
    back = smaller.resize(picture.size, Image.Resampling.BICUBIC)
    difference = np.asarray(picture, np.float32) - np.asarray(back, np.float32)
    return float(np.sqrt((difference**2).mean()))


def fingerprint(picture: Image.Image) -> tuple[int, np.ndarray]:
    """64-bit difference hash, and a 16x16 grey thumbnail that confirms a hit."""
    grey = picture.convert("L")
    grid = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), np.int16)
    bits = (grid[:, 1:] > grid[:, :-1]).ravel()
    code = int("".join("1" if bit else "0" for bit in bits), 2)
    return code, np.asarray(grey.resize((16, 16), Image.Resampling.BOX), np.float32)


def is_repeat(code: int, small: np.ndarray, seen: list[tuple[int, np.ndarray]]) -> bool:
    """Whether a picture, by its fingerprint, was seen before at any size."""
    # The hash alone gives false hits among smooth skies; the same picture agrees in its levels too.
    near = (other for known, other in seen if (code ^ known).bit_count() <= HASH_DISTANCE)
    return any(float(np.abs(small - other).mean()) < 6 for other in near)


def flat_share(levels: np.ndarray) -> float:
    """Share of 16x16 blocks without any structure (standard deviation of the luma below 1.5)."""
    luma = levels @ np.array([0.299, 0.587, 0.114], np.float32)
    h, w = (side // 16 * 16 for side in luma.shape)
    blocks = luma[:h, :w].reshape(h // 16, 16, w // 16, 16)
    return float((blocks.std(axis=(1, 3)) < 1.5).mean())
