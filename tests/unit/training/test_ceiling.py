"""What the start report says of the autoencoder on the user's own pictures."""

import logging
import re

import pytest
import torch

from hfdiff.data.batches import PairBatches
from hfdiff.training.ceiling import say_ceiling
from training_pieces import Ground

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return Ground.prepared(tmp_path_factory.mktemp("ground"))


class Perfect:
    """Gives back what it gets, but for one level of one picture."""

    def __init__(self, off):
        self.off = off

    def reconstructed(self, batch):
        made = batch.gt_pm1.clone()
        made[3] = (made[3] + self.off * 2).clamp(-1, 1)
        return made


def batches_of(ground):
    settings = ground.settings("teacher", "unused", "data.pool_batches=3").data
    return PairBatches(settings.pictures(), settings, seed=0, batch=2)


def said(stage, ground, caplog):
    with caplog.at_level(logging.INFO, logger="hfdiff.training.ceiling"):
        say_ceiling(stage, batches_of(ground), CPU)
    return [record.getMessage() for record in caplog.records]


def test_the_worst_patch_is_named_with_its_number(ground, caplog):
    (line, *warned) = said(Perfect(off=20 / 255), ground, caplog)

    worst = float(re.search(r"at worst ([\d.]+) dB \((.*)\)", line).group(1))
    # 20 grey levels are 219 / 255 of that on luma; clamping makes it a little less.
    assert 23.3 < worst < 24.5
    assert "8 patches" in line
    assert batches_of(ground).first_pairs(8).names[3] in line
    assert warned == []


def test_an_autoencoder_that_has_not_learned_such_pictures_is_warned_of(ground, caplog):
    class Black:
        def reconstructed(self, batch):
            return torch.full_like(batch.gt_pm1, -1)

    assert (
        "train the autoencoder on pictures of this kind first" in said(Black(), ground, caplog)[1]
    )


def test_a_stage_without_a_trained_autoencoder_says_nothing(ground, caplog):
    class Fresh:
        def reconstructed(self, batch):
            return None

    assert said(Fresh(), ground, caplog) == []
    assert said(object(), ground, caplog) == []


@pytest.mark.parametrize("stage", ["teacher", "distill", "autoencoder"])
def test_every_stage_that_has_an_autoencoder_says_it_before_the_first_step(ground, stage, caplog):
    start = [f"start={ground.root / 'lite_codec.safetensors'}"] if stage == "autoencoder" else []
    with caplog.at_level(logging.INFO):
        ground.train(stage, f"said-{stage}", *start)

    texts = [record.getMessage() for record in caplog.records]
    ceiling = [n for n, text in enumerate(texts) if "the autoencoder gives 8 patches" in text]
    steps = [n for n, text in enumerate(texts) if text.startswith("step ")]
    assert len(ceiling) == 1
    assert ceiling[0] < steps[0]
