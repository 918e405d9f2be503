"""Whole recorded runs of the published degradation, step by step and end to end."""

import json

import numpy as np
import pytest
import torch

from hfdiff.degradation.decisions import Blur, Decisions, Jpeg, Noise, Resize
from hfdiff.degradation.filters import sharpen
from hfdiff.degradation.kernels import GivenKernel
from hfdiff.degradation.pipeline import apply_step, degrade
from hfdiff.imaging.pixels import pm1_from_01
from support import reference

pytestmark = pytest.mark.parity

RUNS = [0, 1, 2, 3]


class Run:
    """A recorded run as decisions of ours, one a sample, and the noise that was drawn."""

    def __init__(self, number):
        self._file = np.load(reference(f"degradation_pipeline_run{number}.npz"))
        self.record = json.loads(bytes(self._file["decisions_json"]))
        self.names = []  # the recorded intermediate behind every step
        samples = [self._steps(index) for index in range(2)]
        self.decisions = [
            Decisions(scale=self.record["sf"], steps=tuple(step for step, _ in sample))
            for sample in samples
        ]
        self.draws = [[draw for _, draw in sample if draw is not None] for sample in samples]

    def __getitem__(self, key):
        return torch.from_numpy(self._file[key])

    @property
    def gt_01(self):
        gt_01 = self["gt"].float() / 255
        return sharpen(gt_01) if self.record["use_sharp"] else gt_01

    def _steps(self, index):
        stage1, final = self.record["stage1"], self._final(index)
        factor = stage1["scale"]
        steps = [self._blur("kernel1", index)]
        steps.append((Resize(mode=stage1["mode"], factor=factor, of="current"), None))
        steps += [self._noise(stage1, index), self._jpeg(stage1["jpeg_quality"], index)]
        if self.record["second_order"]:
            stage2 = self.record["stage2"]
            if stage2["blur"]:
                steps.append(self._blur("kernel2", index))
            steps.append((Resize(mode=stage2["mode"], factor=stage2["scale"], of="lq"), None))
            steps.append(self._noise(stage2, index))
        return [*steps, *final]

    def _final(self, index):
        shrink = [
            (Resize(mode=self.record["final_mode"], factor=1.0, of="lq"), None),
            self._blur("sinc_kernel", index),
        ]
        compress = [self._jpeg(self.record["final_jpeg_quality"], index)]
        first = self.record["final_order"] == "resize_sinc_jpeg"
        return [*shrink, *compress] if first else [*compress, *shrink]

    def _blur(self, name, index):
        rows = self._file[name][index].tolist()
        return Blur(kernel=GivenKernel(values=tuple(map(tuple, rows)))), None

    def _jpeg(self, qualities, index):
        return Jpeg(quality=qualities[index], exact_tables=False), None

    def _noise(self, stage, index):
        gray = bool(stage["gray"][index])
        level = (stage["sigma"] if stage["noise"] == "gaussian" else stage["poisson_scale"])[index]
        drawn = self[stage["gray_array" if gray else "color_array"]].float()
        # gray Gaussian noise is one map for the batch
        own = drawn[index] if drawn.ndim == 4 else drawn[None]
        return Noise(law=stage["noise"], level=level, gray=gray, seed=0), own


@pytest.mark.parametrize("number", RUNS)
def test_every_step_of_a_recorded_run_is_met_from_its_recorded_input(number):
    run = Run(number)
    sides = tuple(side / run.record["sf"] for side in run.gt_01.shape[-2:])
    recorded = [run[entry["key"]] for entry in run.record["intermediates"]]
    assert len(recorded) == len(run.decisions[0].steps)

    for index in range(2):
        draws = iter(run.draws[index])
        before = run.gt_01
        for step, after in zip(run.decisions[index].steps, recorded, strict=True):
            drawn = next(draws)[None] if isinstance(step, Noise) else None
            ours = apply_step(before[index][None], [step], lq_sides=sides, draws=drawn)
            torch.testing.assert_close(ours[0], after[index], atol=2e-6, rtol=0)
            before = after


@pytest.mark.parametrize("number", RUNS)
def test_a_recorded_run_is_met_end_to_end(number):
    run = Run(number)
    top, left = run.record["crop_top_lq"], run.record["crop_left_lq"]
    side, sf = run.record["gt_size"], run.record["sf"]

    lq_01 = degrade(run.gt_01, run.decisions, draws=run.draws)

    lq_pm1 = pm1_from_01(lq_01)[:, :, top : top + side // sf, left : left + side // sf]
    levels = ((lq_pm1 - run["lq"]) * 127.5).abs().round()
    # a rounding may flip by 1e-7 and move a value by levels: few, and not far
    assert levels.max() <= 3
    assert (levels > 0).float().mean() <= 0.02
    gt_pm1 = pm1_from_01(run.gt_01)
    cut = gt_pm1[:, :, sf * top : sf * top + side, sf * left : sf * left + side]
    torch.testing.assert_close(cut, run["gt_out"], atol=2e-6, rtol=0)
