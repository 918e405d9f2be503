"""The main path on the identity model: sizes, tiles, grey, order, threads, memory."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfdiff.core.errors import CheckpointError, ResourceError, SettingsError
from hfdiff.imaging.picture import Picture
from hfdiff.imaging.pixels import samples_to_01
from hfdiff.imaging.resize import Axis, enlarge_cubic, resample
from hfdiff.model.build import build_model
from hfdiff.model.config import ModelConfig
from hfdiff.model.find import find_model
from hfdiff.model.model_file import ModelCard, load_model, save_model
from hfdiff.nn.identity import IdentityConfig
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.upscaler import Upscaler, Work
from small_models import small_model

SIDES = (1, 2, 3, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127)


def scene(height, width, channels=3, seed=0):
    """A picture with smooth parts and noise, uint8."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(0, 180, height)[:, None, None]
    columns = np.linspace(0, 60, width)[None, :, None]
    noise = rng.integers(0, 16, (height, width, channels))
    return Picture(samples=(rows + columns + noise).clip(0, 255).astype(np.uint8))


class Floats:
    """Results of tiles as floats, instead of rounded samples."""

    def __init__(self, upscaler: Upscaler, picture: Picture, options: UpscaleOptions):
        plan = upscaler.plan(picture, options)
        work = Work(picture=picture, plan=plan, options=options)
        self.picture = torch.empty(picture.channels, plan.rows.target, plan.columns.target)
        from hfdiff.upscaling.tiles import TileMerger

        merger = TileMerger(plan, self)
        for tile in plan:
            merger.add(tile, upscaler.enlarge_tiles(work, [tile])[0])
        assert merger.is_complete

    def write(self, top, left, block_01):
        height, width = block_01.shape[1:]
        self.picture[:, top : top + height, left : left + width] = block_01


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(16, 64),
    overlap=st.integers(8, 15),
    scale=st.sampled_from([1.0, 1.5, 2.0, 3.0, 4.0, 5.3, 8.0]),
)
@settings(max_examples=40, deadline=None)
def test_identity_tiled_equals_untiled_to_the_bit(identity, height, width, tile, overlap, scale):
    picture = scene(height, width)
    try:
        tiled = Floats(identity, picture, UpscaleOptions(scale=scale, tile=tile, overlap=overlap))
    except SettingsError as error:
        if "too small" not in str(error):
            raise
        return  # the margin of the resize needs a larger tile

    whole = Floats(identity, picture, UpscaleOptions(scale=scale, tile=0))

    assert torch.equal(tiled.picture, whole.picture)


@pytest.mark.parametrize("scale", [1, 1.5, 2, 3, 4, 8])
def test_every_size_gives_exactly_the_rounded_size(identity, scale):
    for height, width in [*zip(SIDES, SIDES, strict=True), (1, 127), (33, 2), (65, 7)]:
        better = identity.upscale(scene(height, width), UpscaleOptions(scale=scale))

        wanted = (int(height * scale + 0.5), int(width * scale + 0.5))
        assert better.samples.shape == (*wanted, 3)


def test_the_lost_assignment_sizes_come_out_exactly(identity):
    """users 6.5.4."""
    for height, width in ((40, 50), (127, 127), (128, 100)):
        better = identity.upscale(scene(height, width), UpscaleOptions())

        assert (better.height, better.width) == (4 * height, 4 * width)


def test_identity_is_the_published_cubic(identity):
    picture = scene(30, 41)

    whole = Floats(identity, picture, UpscaleOptions()).picture

    wanted = enlarge_cubic(samples_to_01(picture.samples) * 2 - 1, 4)[0].clamp(-1, 1) / 2 + 0.5
    torch.testing.assert_close(whole, wanted, atol=2e-6, rtol=0)


def test_grey_stays_one_channel(identity):
    better = identity.upscale(scene(20, 30, channels=1), UpscaleOptions())

    assert better.samples.shape == (80, 120, 1)


def test_grey_as_rgb_stays_grey(identity):
    grey = scene(20, 30, channels=1).samples
    better = identity.upscale(Picture(samples=np.repeat(grey, 3, 2)), UpscaleOptions())

    assert np.array_equal(better.samples[..., 0], better.samples[..., 1])
    assert np.array_equal(better.samples[..., 0], better.samples[..., 2])


def test_sixteen_bit_samples_stay_sixteen_bit(identity):
    """Range follows the type, never the values (users 6.5.5)."""
    dark = (scene(20, 30).samples.astype(np.uint16) % 200).astype(np.uint16)

    better = identity.upscale(Picture(samples=dark), UpscaleOptions()).samples

    assert better.dtype == np.uint16
    assert abs(better.mean() - dark.mean()) < 0.02 * dark.mean() + 1


def test_exact_size_and_size_by_one_side(identity):
    picture = scene(30, 40)

    both = identity.upscale(picture, UpscaleOptions(size=(123, 99)))
    one = identity.upscale(picture, UpscaleOptions(size=(None, 60)))

    assert (both.width, both.height) == (123, 99)
    assert (one.width, one.height) == (80, 60)


def test_a_smaller_output_is_refused(identity):
    with pytest.raises(SettingsError, match="smaller than the input"):
        identity.upscale(scene(30, 40), UpscaleOptions(size=(20, None)))


def test_a_student_refuses_more_than_one_step(identity):
    with pytest.raises(SettingsError, match="one step only, got 4"):
        identity.upscale(scene(8, 8), UpscaleOptions(steps=4))


def test_progress_is_monotone_and_ends_at_all_tiles(identity):
    seen = []

    identity.upscale(
        scene(60, 60),
        UpscaleOptions(tile=24, overlap=8, batch=2),
        on_progress=lambda done, total: seen.append((done, total)),
    )

    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1] > 4


@pytest.mark.parametrize(
    ("tiles", "most", "even"),
    [(1, 999, 1), (4, 16, 4), (20, 16, 10), (9, 4, 3), (5, 4, 3), (7, 1, 1)],
)
def test_batches_are_even(identity, monkeypatch, tiles, most, even):
    picture = Picture(samples=np.zeros((24, 24 + 16 * (tiles - 1), 3), np.uint8))
    asked = UpscaleOptions(tile=24, overlap=8, batch=most)
    computed = []
    restore = Upscaler._restore

    def counting(self, work, filled, *rest):
        computed.append(len(filled))
        return restore(self, work, filled, *rest)

    monkeypatch.setattr(Upscaler, "_restore", counting)

    account = identity.enlarge(picture, asked)

    assert (account.tiles, account.options.batch) == (tiles, even)
    assert computed == [even] * -(-tiles // even)


def test_another_batch_gives_the_same_picture(identity):
    picture = scene(60, 70)
    one, three = (
        identity.upscale(picture, UpscaleOptions(tile=24, overlap=8, batch=batch)).samples
        for batch in (1, 3)
    )

    assert np.array_equal(one, three)


@pytest.mark.parametrize("kind", ["identity", "lite"])
def test_threads_may_share_an_upscaler(identity, kind):
    """users 6.3.11: 8 threads, 20 pictures, to the byte what one thread gives."""
    upscaler = identity
    if kind == "lite":
        model = small_model("lite student")
        _, description = load_model(find_model("identity"))
        description = replace(description, config=model.config)
        upscaler = Upscaler(model, description, device="cpu")
    pictures = [scene(20 + k, 30 + k, seed=k) for k in range(20)]
    options = UpscaleOptions(seed=3)
    serial = [upscaler.upscale(picture, options).samples for picture in pictures]

    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(lambda p: upscaler.upscale(p, options).samples, pictures))

    for got, wanted in zip(parallel, serial, strict=True):
        assert np.array_equal(got, wanted)


def test_repeated_enlarging_and_shrinking_does_not_drift(identity):
    """users 6.3.7: half-pixel centres everywhere."""
    y, x = np.mgrid[:48, :48]
    blob = 255 * np.exp(-((y - 24.0) ** 2 + (x - 23.0) ** 2) / 40)
    picture = Picture(samples=np.repeat(blob[..., None], 3, 2).astype(np.uint8))

    for _ in range(5):
        large = samples_to_01(identity.upscale(picture, UpscaleOptions()).samples)
        for dim in (-1, -2):
            large = resample(large, dim, Axis(source=192, target=48), 0, 48)
        small = (large[0].permute(1, 2, 0).numpy() * 255).round().clip(0, 255).astype(np.uint8)
        picture = Picture(samples=small)

    mass = picture.samples[..., 0].astype(float)
    centre = (mass * y).sum() / mass.sum(), (mass * x).sum() / mass.sum()
    assert abs(centre[0] - 24) < 0.05
    assert abs(centre[1] - 23) < 0.05


def test_an_answer_that_is_not_finite_is_refused(monkeypatch):
    """A NaN must never become black pixels of a finished picture."""
    upscaler = Upscaler.from_pretrained("identity", device="cpu")
    monkeypatch.setattr(
        upscaler.model.codec, "decode", lambda x_0, lq_pm1: enlarge_cubic(x_0, 4) * torch.nan
    )

    with pytest.raises(ResourceError, match="not finite"):
        upscaler.upscale(scene(8, 8), UpscaleOptions())


def test_an_autoencoder_alone_cannot_upscale(tmp_path):
    config = ModelConfig(codec=IdentityConfig(), role="codec")
    path = tmp_path / "codec.safetensors"
    save_model(path, build_model(config), ModelCard(name="codec", licence="Apache-2.0"))

    with pytest.raises(CheckpointError, match="holds an autoencoder only"):
        Upscaler.from_pretrained(path)


def test_save_pretrained_writes_what_from_pretrained_reads(identity, tmp_path):
    for path in (tmp_path / "one.safetensors", tmp_path / "folder"):
        identity.save_pretrained(path)

        again = Upscaler.from_pretrained(path, device="cpu")

        assert again.description == identity.description


def test_kernels_made_in_inference_are_no_hindrance_to_training():
    picture = torch.rand(1, 1, 11, 13, dtype=torch.float64)
    with torch.inference_mode():
        enlarge_cubic(picture, 4)

    enlarge_cubic(picture.requires_grad_(), 4).sum().backward()

    assert picture.grad is not None


@pytest.mark.parametrize(("height", "width"), [(16, 5000), (5000, 16)])
def test_long_strips_are_tiled_like_any_picture(identity, height, width):
    """users 6.2.9."""
    rng = np.random.default_rng(0)
    picture = Picture(samples=rng.integers(0, 256, (height, width, 3), dtype=np.uint8))

    better = identity.upscale(picture, UpscaleOptions(tile=128, overlap=8))

    whole = identity.upscale(picture, UpscaleOptions(tile=0))
    assert np.array_equal(better.samples, whole.samples)


@pytest.mark.parametrize("tile", [0, 64, 1000, 10**9])
def test_a_tile_that_holds_the_picture_is_the_whole_picture(identity, tile):
    """users 6.2.8: bytes equal."""
    picture = Picture(samples=np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))

    assert len(identity.plan(picture, UpscaleOptions(tile=tile))) == 1


@pytest.mark.parametrize("options", [{"tile": 1}, {"tile": 7}, {"tile": 32, "overlap": 32}])
def test_tiles_that_cannot_advance_are_refused(identity, options):
    """users 6.2.8."""
    picture = Picture(samples=np.zeros((40, 60, 3), np.uint8))

    with pytest.raises(SettingsError, match="too small for an overlap"):
        identity.upscale(picture, UpscaleOptions(**options))
