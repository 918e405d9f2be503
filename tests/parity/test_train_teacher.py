"""Stage ``teacher`` against the recorded training of ResShift (train_teacher; facts e.1, e.5)."""

import json

import numpy as np
import pytest
import torch

from hfdiff.data.batches import Batch, DataSettings
from hfdiff.training.settings import OptimiserSettings
from hfdiff.training.stages.teacher import TeacherSettings, TeacherStage
from small_networks import SMALL_UNETS
from support import fill_by_recipe, normal, picture, reference
from training_pieces import published_codec_file

pytestmark = pytest.mark.parity

EXPECTED = json.loads(reference("train_teacher.json").read_text())
PUBLISHED = {"learning_rate": 5e-5, "betas": (0.9, 0.999), "warmup": 5000, "rise": "published"}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    start = published_codec_file(tmp_path_factory.mktemp("models"))
    settings = TeacherSettings(
        start=str(start), network=SMALL_UNETS["small_a"], data=DataSettings(gt_size=128)
    )
    stage = TeacherStage(settings, [])
    fill_by_recipe(stage.networks()["network"]).requires_grad_(True)
    return stage


@pytest.fixture(scope="module")
def batch():
    return Batch(
        gt_pm1=picture("train_teacher/gt", (4, 3, 128, 128)),
        lq_pm1=picture("train_teacher/lq", (4, 3, 32, 32)),
        names=("a", "b", "c", "d"),
    )


@pytest.fixture(scope="module")
def recorded_draws():
    t = torch.from_numpy(np.load(reference("train_teacher.npz"))["t"])
    return {"t": t, "noise": normal("train_teacher/noise", (4, 3, 32, 32))}


def test_the_loss_of_each_sample_is_the_recorded_one(stage, batch, recorded_draws):
    with torch.no_grad():
        values = [
            stage.terms(
                batch.part(k, k + 1),
                t=recorded_draws["t"][k : k + 1],
                noise=recorded_draws["noise"][k : k + 1],
            )["mse"].item()
            for k in range(4)
        ]

    assert values == pytest.approx(EXPECTED["mse"], rel=1e-5)


def test_the_loss_and_its_gradients_are_the_recorded_ones(stage, batch, recorded_draws):
    network = stage.networks()["network"]
    network.zero_grad()

    loss = stage.terms(batch, **recorded_draws)["mse"]
    loss.backward()

    wanted = EXPECTED["grad_norms_mse"]
    norms = {name: p.grad.norm().item() for name, p in network.named_parameters() if name in wanted}
    norms["total"] = torch.stack([p.grad.norm() for p in network.parameters()]).norm().item()
    assert loss.item() == pytest.approx(EXPECTED["loss_mean"], rel=1e-6)
    assert norms == pytest.approx(wanted, rel=1e-5)


def test_a_published_autoencoder_stays_as_it_is(stage):
    assert list(stage.networks()) == ["network"]
    assert stage.phases[0].networks == ("network",)


@pytest.mark.parametrize(
    ("name", "settings", "steps"),
    [
        ("journal_cosine", {"final": 2e-5}, 400_000),
        ("conference_constant", {"final": None}, 300_000),
    ],
)
def test_learning_rates_are_the_recorded_ones(name, settings, steps):
    optimiser = OptimiserSettings(**PUBLISHED, **settings)

    rates = EXPECTED[f"lr_used_at_iteration_{name}"]

    for iteration, rate in rates.items():
        assert optimiser.rate(int(iteration) - 1, steps) == pytest.approx(rate, rel=1e-12)
