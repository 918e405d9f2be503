"""Drawing decisions: reproducible, recorded, distributed as configured."""

import json
import math
from collections import Counter

import numpy as np
import pytest

from hfdiff.core.errors import SettingsError
from hfdiff.core.settings import to_json
from hfdiff.degradation.config import DegradationConfig
from hfdiff.degradation.decisions import (
    Blur,
    Jpeg,
    Noise,
    Resize,
    decide,
    decide_batch,
    decisions_from,
    draw_kernel,
    draw_kernel2,
)
from hfdiff.degradation.kernels import SincKernel
from hfdiff.degradation.presets import PRESETS


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", PRESETS)
def test_decisions_survive_json_to_the_last_bit(name):
    generator = rng()

    for _ in range(30):
        decisions = decide(PRESETS[name], rng=generator)
        assert decisions_from(json.loads(to_json(decisions)), "line 1") == decisions


def test_a_broken_record_is_refused_with_its_place():
    with pytest.raises(SettingsError, match="line 7: decisions must be a mapping, got list"):
        decisions_from([], "line 7")
    with pytest.raises(SettingsError, match="line 7"):
        decisions_from({"scale": 4, "steps": [{"kind": "wash"}]}, "line 7")


def test_the_same_generator_decides_alike_and_another_does_not():
    training = PRESETS["training"]

    assert decide(training, rng=rng(1)) == decide(training, rng=rng(1))
    assert decide(training, rng=rng(1)) != decide(training, rng=rng(2))


def test_every_draw_of_the_training_preset_lies_in_its_published_range():
    generator = rng()
    samples = [decide(PRESETS["training"], rng=generator) for _ in range(400)]
    steps = [step for sample in samples for step in sample.steps]

    blurs = [step.kernel for step in steps if isinstance(step, Blur)]
    assert {kernel.size for kernel in blurs} == set(range(3, 20, 2))
    for step in steps:
        if isinstance(step, Noise) and step.law == "gaussian":
            assert 1 <= step.level <= 30
        if isinstance(step, Jpeg):
            assert 30 <= step.quality <= 95
            assert not step.exact_tables
        if isinstance(step, Resize):
            assert 0.15 <= step.factor <= 1.5


def test_kinds_come_as_often_as_configured():
    generator = rng()
    samples = [decide(PRESETS["training"], rng=generator) for _ in range(2000)]
    kernels = [draw_kernel(DegradationConfig(), rng=generator) for _ in range(2000)]

    second = np.mean([sum(isinstance(s, Noise) for s in x.steps) == 2 for x in samples])
    shapes = Counter(
        "sinc" if isinstance(kernel, SincKernel) else kernel.shape for kernel in kernels
    )
    last = np.mean([isinstance(sample.steps[-1], Jpeg) for sample in samples])
    # four standard deviations of 2000 draws are below 0.045
    assert second == pytest.approx(0.5, abs=0.045)
    assert last == pytest.approx(0.5, abs=0.045)
    assert shapes["sinc"] / 2000 == pytest.approx(0.1, abs=0.03)
    assert shapes["iso"] / 2000 == pytest.approx(0.9 * 0.45, abs=0.045)
    assert shapes["plateau_aniso"] / 2000 == pytest.approx(0.9 * 0.03, abs=0.015)


def test_half_of_the_plateau_kernels_have_beta_one():
    """betap_range starts at 1, so the lower side of the draw is the point 1."""
    config = DegradationConfig(
        kernel_list=("plateau_iso",), kernel_prob=(1.0,), sinc_prob=0.0, betap_range=(1.0, 2.0)
    )
    generator = rng()

    betas = [draw_kernel(config, rng=generator).beta for _ in range(400)]

    assert np.mean(np.array(betas) == 1) == pytest.approx(0.5, abs=0.1)
    assert max(betas) > 1.9


def test_the_second_stage_draws_from_its_own_keys():
    config = DegradationConfig(
        blur_kernel_size2=7, kernel_list2=("iso",), kernel_prob2=(1.0,), sinc_prob2=0.0,
        blur_sigma2=(5.0, 5.0),
    )  # fmt: skip
    generator = rng()

    kernels = [draw_kernel2(config, rng=generator) for _ in range(40)]

    assert {kernel.size for kernel in kernels} == {3, 5}
    assert {kernel.sigma_x for kernel in kernels} == {5.0}


def test_small_sinc_kernels_are_not_given_low_cutoffs():
    config = DegradationConfig(sinc_prob=1.0)
    generator = rng()

    kernels = [draw_kernel(config, rng=generator) for _ in range(500)]

    assert min(k.cutoff for k in kernels if k.size < 13) >= math.pi / 3
    assert min(k.cutoff for k in kernels if k.size >= 13) < math.pi / 4


def test_a_published_batch_shares_its_order_and_resizes_but_not_its_levels():
    def outline(sample):
        """Kinds of steps without the sinc at the end, which is each sample's own."""
        kinds = [
            (step.kind, getattr(step, "law", None), getattr(step, "factor", None))
            for step in sample.steps
        ]
        return [
            kind
            for kind, step in zip(kinds, sample.steps, strict=True)
            if not (isinstance(step, Blur) and isinstance(step.kernel, SincKernel))
        ]

    config = DegradationConfig(sinc_prob=0.0, sinc_prob2=0.0)
    batch = decide_batch(config, 8, rng=rng(3))

    assert len({str(outline(sample)) for sample in batch}) == 1
    noise = [[step for step in sample.steps if isinstance(step, Noise)] for sample in batch]
    assert len({sample[0].level for sample in noise}) == 8


def test_gray_gaussian_noise_of_a_published_batch_is_one_map():
    config = DegradationConfig(gaussian_noise_prob=1.0, second_order_prob=0.0)

    batch = decide_batch(config, 16, rng=rng(4))

    steps = [step for sample in batch for step in sample.steps if isinstance(step, Noise)]
    gray = [step.seed for step in steps if step.gray]
    colour = [step.seed for step in steps if not step.gray]
    assert len(gray) > 1
    assert len(set(gray)) == 1
    assert len(set(colour)) == len(colour)


def test_the_mild_preset_blurs_shrinks_once_and_stays_gentle():
    generator = rng()

    for _ in range(50):
        steps = decide(PRESETS["mild"], rng=generator).steps
        assert isinstance(steps[0], Blur)
        assert 0.3 <= steps[0].kernel.sigma_x <= 2.5
        assert [step.factor for step in steps if isinstance(step, Resize)] == [1.0, 1.0]
        assert all(step.level <= 5 for step in steps if isinstance(step, Noise))
        assert all(step.quality >= 75 for step in steps if isinstance(step, Jpeg))


def test_the_camera_preset_is_the_mild_one_with_a_wider_blur_ringing_and_sharpening():
    generator = rng()
    last_kernels = []

    for _ in range(50):
        steps = decide(PRESETS["camera"], rng=generator).steps
        last_kernels += [step.kernel.kind for step in steps[1:] if isinstance(step, Blur)]
        assert isinstance(steps[0], Blur)
        assert 1.5 <= steps[0].kernel.sigma_x <= 4.5
        assert all(step.level <= 5 for step in steps if isinstance(step, Noise))

    assert 10 <= last_kernels.count("sinc") <= 30
    assert 10 <= last_kernels.count("unsharp") <= 30


def test_half_of_the_mixture_is_mild():
    generator = rng()
    samples = [decide(PRESETS["mixed"], rng=generator) for _ in range(400)]

    mild = [sample.steps[1].kind == "resize" and sample.steps[1].of == "lq" for sample in samples]

    assert np.mean(mild) == pytest.approx(0.5, abs=0.1)
