"""What Python users hold comes out as it came in: images of Pillow, arrays, tensors, files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.imaging.files import read_picture
from hfdiff.imaging.picture import Picture
from hfdiff.imaging.resize import enlarge_cubic
from hfdiff.upscaling.options import UpscaleOptions
from small_models import small_model

HEIGHT, WIDTH = 10, 12


def array(*channels, dtype=np.uint8, height=HEIGHT, width=WIDTH):
    rng = np.random.default_rng(len(channels))
    return rng.integers(0, np.iinfo(dtype).max + 1, (height, width, *channels), dtype=dtype)


def tensor(*batch, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(*batch, 3, HEIGHT, WIDTH, generator=generator).to(dtype)


def direct(identity, samples):
    """The way that files take."""
    return identity.upscale(Picture(samples=samples), UpscaleOptions()).samples


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "RGBX"])
def test_an_image_of_pillow_comes_back_as_one(identity, mode):
    image = Image.fromarray(array(4) if mode in ("LA", "RGBA") else array(3)).convert(mode)

    better = identity(image)

    assert isinstance(better, Image.Image)
    assert better.size == (4 * WIDTH, 4 * HEIGHT)
    assert better.mode == {"1": "L", "L": "L", "LA": "LA", "RGBA": "RGBA"}.get(mode, "RGB")


def test_an_image_is_enlarged_as_its_file_is(identity, tmp_path):
    image = Image.fromarray(array(3))
    image.save(tmp_path / "a.png")

    better = identity(image)

    assert np.array_equal(
        np.asarray(better), direct(identity, read_picture(tmp_path / "a.png").samples)
    )


def test_palette_images_with_transparency_become_rgba(identity):
    image = Image.fromarray(array(3)).convert("P")
    image.info["transparency"] = 0

    assert identity(image).mode == "RGBA"


def test_deep_grey_images_stay_deep(identity):
    image = Image.fromarray(array(dtype=np.uint16))

    better = identity(image)

    assert better.mode == "I;16"
    assert np.array_equal(
        np.asarray(better), direct(identity, array(dtype=np.uint16)[:, :, None])[:, :, 0]
    )


@pytest.mark.parametrize("mode", ["I", "F"])
def test_images_of_other_depths_are_refused(identity, mode):
    with pytest.raises(ImageError, match=f"images of mode {mode} are not handled"):
        identity(Image.new(mode, (4, 4)))


def test_an_image_keeps_its_profile_and_is_not_turned(identity):
    """Pillow leaves turning to its users, so what they know of an image stays true."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(array(3))
    image.info = {"icc_profile": b"colours", "exif": exif.tobytes(), "dpi": (300, 300), "junk": 1}

    better = identity(image)

    assert better.size == (4 * WIDTH, 4 * HEIGHT)
    assert better.info == {
        "icc_profile": b"colours",
        "exif": exif.tobytes(),
        "dpi": (300, 300),
    }


def test_a_profile_of_inks_is_not_kept_for_rgb(identity):
    image = Image.new("CMYK", (4, 4))
    image.info["icc_profile"] = b"inks"

    assert "icc_profile" not in identity(image).info


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (1,), (2,), (3,), (4,)])
def test_an_array_comes_back_with_its_axes_and_type(identity, channels, dtype):
    samples = array(*channels, dtype=dtype)

    better = identity(samples)

    assert better.dtype == dtype
    assert better.shape == (4 * HEIGHT, 4 * WIDTH, *channels)
    full = samples if channels else samples[:, :, None]
    assert np.array_equal(better.reshape(4 * HEIGHT, 4 * WIDTH, -1), direct(identity, full))


def test_an_array_may_have_its_bytes_in_another_order(identity):
    samples = array(3, dtype=np.uint16)

    better = identity(samples.astype(">u2"))

    assert better.dtype == np.uint16
    assert np.array_equal(better, identity(samples))


def test_an_image_that_breaks_off_is_said(identity, tmp_path):
    Image.fromarray(array(3, height=200, width=200)).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])

    with Image.open(tmp_path / "a.jpg") as image, pytest.raises(ImageError, match="is broken"):
        identity(image)


def test_an_array_may_be_a_view(identity):
    whole = array(3, height=20, width=24)

    assert np.array_equal(identity(whole[::2, ::2]), identity(whole[::2, ::2].copy()))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "an array must be uint8 or uint16, got float32"),
        (np.zeros((4, 4), bool), "an array must be uint8 or uint16, got bool"),
        (np.zeros((4, 4, 5), np.uint8), r"\[H, W\] or \[H, W, 1..4\], got \[4, 4, 5\]"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"got \[1, 4, 4, 3\]"),
        (np.zeros((0, 4), np.uint8), r"got \[0, 4\]"),
        (np.zeros(4, np.uint8), r"got \[4\]"),
    ],
)
def test_another_array_is_refused(identity, samples, message):
    with pytest.raises(ImageError, match=message):
        identity(samples)


@pytest.mark.parametrize("batch", [(), (1,), (3,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_a_tensor_comes_back_with_its_axes_and_type(identity, batch, dtype):
    lq = tensor(*batch, dtype=dtype)

    sr = identity(lq)

    assert sr.shape == (*batch, 3, 4 * HEIGHT, 4 * WIDTH)
    assert sr.dtype == dtype
    assert sr.device == lq.device


def test_a_tensor_keeps_its_precision(identity):
    """Not rounded to 8 or 16 bit on the way."""
    lq = tensor(1)

    sr = identity(lq)

    wanted = enlarge_cubic(lq.double(), 4).clamp(0, 1)
    torch.testing.assert_close(sr.double(), wanted, atol=5e-7, rtol=0)


def test_a_tensor_of_whole_levels_gives_the_picture_that_its_file_gives(identity):
    samples = array(3)
    lq = torch.from_numpy(samples.transpose(2, 0, 1).copy()).float() / 255

    sr = identity(lq)

    levels = (sr * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
    assert np.array_equal(levels, direct(identity, samples))


def test_pictures_of_a_batch_are_as_alone():
    from hfdiff.model.model_file import Description
    from hfdiff.upscaling.upscaler import Upscaler
    from small_models import CARD

    model = small_model("lite student")
    about = Description(
        format=1, kind="sr", config=model.config, card=CARD, package="0", content_hash=""
    )
    upscaler = Upscaler(model, about, device="cpu")
    lq = tensor(3)

    sr = upscaler(lq, seed=5)

    for one, better in zip(lq, sr, strict=True):
        assert torch.equal(upscaler(one, seed=5), better)
    assert not torch.equal(upscaler(lq, seed=6), sr)


def test_a_tensor_is_neither_changed_nor_followed_by_autograd(identity):
    lq = tensor(1).requires_grad_()
    before = lq.detach().clone()

    sr = identity(lq)

    assert not sr.requires_grad
    assert torch.equal(lq.detach(), before)


def test_rounding_beyond_the_range_is_forgiven(identity):
    lq = tensor(1)
    lq[..., 0, 0] = 1.0005
    lq[..., 1, 1] = -0.0005

    assert torch.equal(identity(lq), identity(lq.clamp(0, 1)))


@pytest.mark.parametrize(
    ("lq", "message"),
    [
        (tensor(1) * 255, r"a tensor must lie in \[0, 1\], got 0.\d+ to 25\d"),
        (tensor(1) * 2 - 1, r"a tensor must lie in \[0, 1\], got -"),
        (tensor(1)[:, :1], r"\[B, 3, H, W\], got \[1, 1, 10, 12\]"),
        (tensor()[0], r"\[3, H, W\] or \[B, 3, H, W\], got \[10, 12\]"),
        (tensor(1, 1), r"\[3, H, W\] or \[B, 3, H, W\], got \[1, 1, 3, 10, 12\]"),
        ((tensor(1) * 255).to(torch.uint8), "must be a float tensor, got torch.uint8"),
        (torch.full((1, 3, 4, 4), torch.nan), "not finite"),
        (torch.zeros(0, 3, 4, 4), r"got \[0, 3, 4, 4\]"),
    ],
)
def test_another_tensor_is_refused(identity, lq, message):
    with pytest.raises(ImageError, match=message):
        identity(lq)


@pytest.mark.parametrize("thing", ["a.png", Path("a.png"), b"bytes", None, [[1, 2]]])
def test_anything_else_is_refused_by_its_type(identity, thing):
    with pytest.raises(ImageError, match=f"an image must be .* got {type(thing).__name__}"):
        identity(thing)


def test_options_reach_the_enlargement(identity):
    image = Image.fromarray(array(3))

    assert identity(image, scale=2.5).size == (30, 25)
    assert identity(image, size=(None, 20)).size == (24, 20)
    with pytest.raises(SettingsError, match="one step only, got 2"):
        identity(image, steps=2)
    with pytest.raises(SettingsError, match="too small for an overlap"):
        identity(image, tile=8, overlap=8)
    assert identity(image, tile=8, overlap=4, batch=2).size == (48, 40)


@pytest.mark.parametrize("colour", range(3))
def test_no_way_in_swaps_channels(identity, colour):
    """users 6.1.19."""
    samples = np.zeros((4, 4, 3), np.uint8)
    samples[..., colour] = 200
    plane = torch.from_numpy(samples.transpose(2, 0, 1).copy()).float() / 255

    means = [
        np.asarray(identity(Image.fromarray(samples))).mean((0, 1)),
        identity(samples).mean((0, 1)),
        identity(plane).mean((1, 2)).numpy(),
    ]

    assert [int(mean.argmax()) for mean in means] == [colour] * 3


def picture_file(path, **options):
    Image.fromarray(array(3)).save(path, **options)
    return path


def test_a_file_is_enlarged_into_a_file(identity, tmp_path):
    source = picture_file(tmp_path / "a.png")

    written = identity.upscale_file(source, tmp_path / "new" / "b.png")

    assert written == tmp_path / "new" / "b.png"
    assert np.array_equal(read_picture(written).samples, direct(identity, array(3)))


def test_a_file_may_go_into_a_folder_and_to_another_format(identity, tmp_path):
    source = picture_file(tmp_path / "a.png")
    options = UpscaleOptions(scale=2)

    beside = identity.upscale_file(str(source), str(tmp_path), options)
    other = identity.upscale_file(source, tmp_path / "b.jpg", options, quality=50)

    assert beside == tmp_path / "a_x2.png"
    assert read_picture(other).format == "JPEG"
    assert read_picture(other).width == 2 * WIDTH


def test_files_are_not_replaced_unless_told_and_sources_never(identity, tmp_path):
    source = picture_file(tmp_path / "a.png")
    target = tmp_path / "b.png"
    target.write_bytes(b"mine")

    with pytest.raises(ImageError, match=r"b\.png exists"):
        identity.upscale_file(source, target)
    assert target.read_bytes() == b"mine"
    identity.upscale_file(source, target, overwrite=True)
    assert read_picture(target).width == 4 * WIDTH
    with pytest.raises(ImageError, match="would replace its source"):
        identity.upscale_file(source, source, overwrite=True)


def test_what_is_no_file_is_refused(identity, tmp_path):
    (tmp_path / "text.png").write_text("no picture")

    for source, message in (
        (tmp_path / "gone.png", "is not a file"),
        (tmp_path, "is not a file"),
        (tmp_path / "text.png", r"text\.png: not a picture in a format that hfdiff reads"),
    ):
        with pytest.raises(ImageError, match=message):
            identity.upscale_file(source, tmp_path / "out.png")
