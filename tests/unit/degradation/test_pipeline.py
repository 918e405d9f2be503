"""Applying decisions to one picture and to batches."""

import numpy as np
import pytest
import torch

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.degradation.decisions import Blur, Decisions, Jpeg, Noise, Resize, decide, decide_batch
from hfdiff.degradation.kernels import GaussianKernel
from hfdiff.degradation.pipeline import degrade
from hfdiff.degradation.presets import PRESETS
from hfdiff.degradation.resize import resize_to

SHRINK = Resize(mode="area", factor=1.0, of="lq")


@pytest.fixture(scope="module")
def gt_01():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(6, 3, 12, 12, generator=generator)
    return resize_to(coarse, 64, 72, "bicubic").clamp(0, 1)


def samples(name, count, seed=0):
    generator = np.random.default_rng(seed)
    return [decide(PRESETS[name], rng=generator) for _ in range(count)]


@pytest.mark.parametrize("name", PRESETS)
def test_an_lq_has_a_quarter_of_the_sides_and_whole_levels(name, gt_01):
    lq_01 = degrade(gt_01, samples(name, 6))

    assert lq_01.shape == (6, 3, 16, 18)
    assert lq_01.min() >= 0
    assert lq_01.max() <= 1
    levels = lq_01 * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", PRESETS)
def test_a_batch_of_different_samples_equals_each_on_its_own(name, gt_01):
    decisions = samples(name, 6, seed=1)

    together = degrade(gt_01, decisions)

    alone = torch.stack([degrade(gt, one) for gt, one in zip(gt_01, decisions, strict=True)])
    # convolutions of other batch sizes differ by 1e-7, which a rounding may make one level of few
    differing = (together - alone).abs() > 1e-6
    assert differing.float().mean() <= 0.02


def test_a_published_batch_is_degraded_like_its_samples(gt_01):
    decisions = decide_batch(PRESETS["training"], 6, rng=np.random.default_rng(5))

    together = degrade(gt_01, decisions)

    alone = torch.stack([degrade(gt, one) for gt, one in zip(gt_01, decisions, strict=True)])
    assert ((together - alone).abs() > 1e-6).float().mean() <= 0.02


def test_the_same_decisions_give_the_same_bits(gt_01):
    decisions = samples("training", 6)

    assert torch.equal(degrade(gt_01, decisions), degrade(gt_01, decisions))


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic", "bicubic_antialias"])
def test_the_number_of_threads_does_not_change_a_bit(mode, gt_01):
    steps = (
        Blur(kernel=GaussianKernel(shape="iso", size=9, sigma_x=1.0)),
        Resize(mode=mode, factor=0.83, of="current"),
        Noise(law="poisson", level=1.0, gray=False, seed=3),
        Jpeg(quality=60.0, exact_tables=False),
        Resize(mode=mode, factor=1.0, of="lq"),
    )
    large = resize_to(gt_01[:1], 300, 340, "bicubic")[0].clamp(0, 1)
    threads = torch.get_num_threads()
    results = []

    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(degrade(large, Decisions(scale=4, steps=steps)))
    torch.set_num_threads(threads)

    assert torch.equal(*results)


def test_other_seeds_give_other_noise(gt_01):
    def noisy(seed):
        step = Noise(law="gaussian", level=20.0, gray=False, seed=seed)
        return degrade(gt_01[0], Decisions(scale=4, steps=(SHRINK, step)))

    assert torch.equal(noisy(1), noisy(1))
    assert not torch.equal(noisy(1), noisy(2))


def test_given_draws_take_the_place_of_the_seed(gt_01):
    step = Noise(law="gaussian", level=255.0, gray=True, seed=1)
    decisions = Decisions(scale=4, steps=(SHRINK, step))
    drawn = torch.full((1, 16, 18), -1.0)  # minus one in units of white

    lq_01 = degrade(gt_01[0], decisions, draws=[[drawn]])

    assert lq_01.abs().max() == 0


def test_no_step_but_the_shrinking_is_exact_averaging(gt_01):
    lq_01 = degrade(gt_01[0], Decisions(scale=4, steps=(SHRINK,)))

    expected = resize_to(gt_01[:1], 16, 18, "area")[0]
    assert (lq_01 - expected).abs().max() <= 0.5 / 255 + 1e-6


def test_poisson_noise_and_both_jpeg_tables_work_in_one_batch(gt_01):
    """Samples whose next steps differ in law, gray or tables are computed apart."""
    blur = Blur(kernel=GaussianKernel(shape="iso", size=5, sigma_x=1.0))
    decisions = [
        Decisions(
            scale=4,
            steps=(
                blur,
                SHRINK,
                Noise(law="poisson", level=1.0, gray=gray, seed=3),
                Jpeg(quality=60.0, exact_tables=exact),
            ),
        )
        for gray in (False, True)
        for exact in (False, True)
    ]

    lq_01 = degrade(gt_01[:1].expand(4, -1, -1, -1), decisions)

    assert all(not torch.equal(lq_01[i], lq_01[j]) for i in range(4) for j in range(i))


def test_sides_that_the_scale_does_not_divide_are_cut(gt_01):
    lq_01 = degrade(gt_01[0, :, :63, :70], Decisions(scale=4, steps=(SHRINK,)))

    assert lq_01.shape == (3, 15, 17)


def test_numbers_that_disagree_are_refused(gt_01):
    one = Decisions(scale=4, steps=(SHRINK,))

    with pytest.raises(SettingsError, match="6 pictures need as many decisions"):
        degrade(gt_01, [one])
    with pytest.raises(SettingsError, match="sequence of decisions"):
        degrade(gt_01, one)
    with pytest.raises(ImageError, match=r"shape \[B, 3, H, W\], got \[1, 1, 64, 72\]"):
        degrade(gt_01[:1, :1], [one])
    with pytest.raises(ImageError, match="at least 4 pixels a side, got 72x3"):
        degrade(gt_01[0, :, :3], one)
