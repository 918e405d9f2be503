"""Stage ``distill`` against the recorded training of SinSR (train_sinsr; facts e.3 to e.6)."""

import json

import pytest
import torch

from hfdiff.data.batches import Batch, DataSettings
from hfdiff.losses.table import LOSSES, FrozenNets
from hfdiff.training.settings import OptimiserSettings
from hfdiff.training.stages.distill import DistillSettings, DistillStage
from support import fill_by_recipe, normal, picture, reference
from training_pieces import published_teacher_file

pytestmark = pytest.mark.parity

EXPECTED = json.loads(reference("train_sinsr.json").read_text())
LATENT = {"distill": "mse", "inv": "mse_xT", "con": "mse_gt"}
CASES = {
    "latent": (LATENT, {"distill": 1.0, "inv": 1.0, "con": 1.0}),
    "latent_cov": (
        {**LATENT, "cov": "mse_xT_cov"},
        {"distill": 1.0, "inv": 1.0, "con": 1.0, "cov": 0.1},
    ),
    "image": (
        {"distill_image": "mse", "inv": "mse_xT", "con_image": "mse_gt_rgb"},
        {"distill_image": 1.0, "inv": 1.0, "con_image": 1.0},
    ),
}
NOISE = normal("train_sinsr/noise", (2, 3, 32, 32))


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return published_teacher_file(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def stage(start):
    return stage_of(start)


def stage_of(start, **changes):
    settings = DistillSettings(start=str(start), data=DataSettings(gt_size=128), **changes)
    stage = DistillStage(settings, [])
    fill_by_recipe(stage.networks()["student"], prefix="student/").requires_grad_(True)
    return stage


@pytest.fixture(scope="module")
def batch():
    return Batch(
        gt_pm1=picture("train_sinsr/gt", (2, 3, 128, 128)),
        lq_pm1=picture("train_sinsr/lq", (2, 3, 32, 32)),
        names=("a", "b"),
    )


def terms_of(stage, batch, noise, names):
    inputs = stage.inputs(batch, noise=noise)
    nets = FrozenNets(torch.device("cpu"))
    return {name: LOSSES[name](nets)(inputs) for name in LOSSES if name in names}


def gradient_norms(network, wanted):
    norms = {name: p.grad.norm().item() for name, p in network.named_parameters() if name in wanted}
    total = torch.stack([p.grad.norm() for p in network.parameters()]).norm()
    return norms | {"total": total.item()}


@pytest.mark.parametrize("case", CASES)
def test_each_term_of_each_sample_is_the_recorded_one(stage, batch, case):
    expected, names = EXPECTED[case], CASES[case][0]

    with torch.no_grad():
        singles = [terms_of(stage, batch.part(k, k + 1), NOISE[k : k + 1], names) for k in range(2)]

    for ours, theirs in names.items():
        values = [single[ours].item() for single in singles]
        assert values == pytest.approx(expected["terms"][theirs], rel=1e-5), ours


@pytest.mark.parametrize(
    ("case", "name"), [(case, name) for case in CASES for name in ["loss", *CASES[case][0]]]
)
def test_gradients_of_each_term_and_of_the_sum_are_the_recorded_ones(stage, batch, case, name):
    expected, (names, weights) = EXPECTED[case], CASES[case]
    student = stage.networks()["student"]
    student.zero_grad()

    terms = terms_of(stage, batch, NOISE, names)
    value = sum(weights[n] * term for n, term in terms.items()) if name == "loss" else terms[name]
    value.backward()

    recorded = expected["grad_norms"][names.get(name, "loss")]
    # Float32 itself moves the gradient of the inverse term by up to 3.6e-5 (rel_noise).
    tolerance = 1e-4 if name in ("loss", "inv") else 1e-5
    assert gradient_norms(student, recorded) == pytest.approx(recorded, rel=tolerance)


def test_pictures_in_chunks_of_one_give_the_recorded_gradient(start, batch):
    chunked, (names, weights) = stage_of(start, chunk=1), CASES["image"]
    student = chunked.networks()["student"]

    terms = terms_of(chunked, batch, NOISE, names)
    sum(weights[name] * term for name, term in terms.items()).backward()

    recorded = EXPECTED["image"]["grad_norms"]["loss"]
    assert gradient_norms(student, recorded) == pytest.approx(recorded, rel=1e-4)


def test_micro_batches_of_one_gather_the_recorded_gradient(stage, batch):
    student = stage.networks()["student"]
    student.zero_grad()

    for k in range(2):
        terms = terms_of(stage, batch.part(k, k + 1), NOISE[k : k + 1], LATENT)
        (sum(terms.values()) / 2).backward()

    recorded = EXPECTED["training_step"]["grad_norms"]
    assert gradient_norms(student, recorded) == pytest.approx(recorded, rel=1e-4)


def test_the_teacher_takes_no_gradient(stage, batch):
    student = stage.networks()["student"]
    student.zero_grad()

    sum(terms_of(stage, batch, NOISE, LATENT).values()).backward()

    teacher, codec = stage.frozen()[:2]
    assert all(p.grad is None for net in (teacher, codec) for p in net.parameters())
    assert all(p.grad is not None for p in student.parameters())


def test_learning_rates_are_the_recorded_ones():
    optimiser = OptimiserSettings(
        learning_rate=5e-5, warmup=5000, rise="published", final=None, halve_after=(500_000,)
    )

    for iteration, rate in EXPECTED["lr_used_at_iteration"].items():
        assert optimiser.rate(int(iteration) - 1, 500_000) == pytest.approx(rate, rel=1e-12)
