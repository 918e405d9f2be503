"""What Python users hold, as pictures and back: what comes in comes out.

Images of Pillow, arrays ``[H, W]`` or ``[H, W, C]`` of 8 or 16 bit, and float tensors
``[3, H, W]`` or ``[B, 3, H, W]`` in [0, 1]. Tensors keep their precision: no rounding to samples.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hfdiff.core.checks import expect_image
from hfdiff.core.errors import ImageError
from hfdiff.imaging.decode import load, plain_mode
from hfdiff.imaging.picture import Picture

ImageLike = TypeVar("ImageLike", Image.Image, NDArray[Any], Tensor)

_SLACK = 1e-3  # rounding of a tensor's own arithmetic; anything beyond is another range
_KEPT = ("icc_profile", "exif", "xmp", "dpi")


def pictures_of(image: object) -> list[Picture]:
    """The pictures in an image, array or tensor: one, or as many as a batch holds.

    Raises:
        ImageError: naming what was expected and what came.
    """
    if isinstance(image, Image.Image):
        return [Picture(samples=_samples_of_image(image))]
    if isinstance(image, np.ndarray):
        return [Picture(samples=_samples_of_array(image))]
    if isinstance(image, Tensor):
        batch = image if image.ndim == 4 else image[None]
        return [Picture(samples=samples) for samples in _samples_of_batch(batch, image)]
    raise ImageError(
        "an image must be one of Pillow, an array of uint8 or uint16 or a float tensor, "
        f"got {type(image).__name__}"
    )


def like(image: ImageLike, pictures: Sequence[Picture]) -> ImageLike:
    """Pictures as the kind of image that they were made of, on its device and in its dtype."""
    samples = [picture.samples for picture in pictures]
    if isinstance(image, Tensor):
        planes = torch.stack([torch.from_numpy(one.transpose(2, 0, 1)) for one in samples])
        better = planes.to(image.device, image.dtype)
        return better if image.ndim == 4 else better[0]
    if isinstance(image, np.ndarray):
        return samples[0][:, :, 0] if image.ndim == 2 else samples[0]
    return _image_of(samples[0], image)


def _samples_of_image(image: Image.Image) -> NDArray[Any]:
    load(image)
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[:, :, None]
    if image.mode in ("I", "F"):
        raise ImageError(f"images of mode {image.mode} are not handled, only 8 and 16 bit")
    samples = np.asarray(plain_mode(image))
    return samples[:, :, None] if samples.ndim == 2 else samples


def _image_of(samples: NDArray[Any], source: Image.Image) -> Image.Image:
    image = Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)
    converted = source.mode in ("CMYK", "LAB")  # whose profiles do not describe RGB
    kept = [key for key in _KEPT if not (converted and key == "icc_profile")]
    image.info = {key: source.info[key] for key in kept if key in source.info}
    return image


def _samples_of_array(array: NDArray[Any]) -> NDArray[Any]:
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"an array must be uint8 or uint16, got {array.dtype}")
    samples = native[:, :, None] if array.ndim == 2 else native
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4 or 0 in samples.shape:
        shape = list(array.shape)
        raise ImageError(f"an array must have the shape [H, W] or [H, W, 1..4], got {shape}")
    return samples


def _samples_of_batch(batch: Tensor, given: Tensor) -> list[NDArray[np.float32]]:
    if given.ndim not in (3, 4):
        shape = list(given.shape)
        raise ImageError(f"a tensor must have the shape [3, H, W] or [B, 3, H, W], got {shape}")
    expect_image(batch, "image")
    low, high = (float(limit) for limit in batch.detach().aminmax())
    if low < -_SLACK or high > 1 + _SLACK:
        raise ImageError(f"a tensor must lie in [0, 1], got {low:.3g} to {high:.3g}")
    planes = batch.detach().float().clamp(0.0, 1.0).permute(0, 2, 3, 1).cpu()
    return list(planes.numpy())
