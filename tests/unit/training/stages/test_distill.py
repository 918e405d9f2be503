import pytest
import torch

from hfdiff.core.errors import CheckpointError, SettingsError
from hfdiff.losses.table import LOSSES
from hfdiff.model.model_file import load_model, save_model
from hfdiff.training.run import build
from hfdiff.training.stages.distill import DistillSettings
from training_pieces import (
    CARD,
    batch_of,
    dino_file,
    extractor_file,
    freed,
    published_teacher_file,
)


def stage_of(ground, *changes):
    return freed(build("distill", ground.settings("distill", "stage", *changes), []))


WHOLE = "terms={distill: 1, inv: 1, con: 1, hf: 0.2, js_dino: 0.15, adversarial: 0, l1: 0}"


@pytest.fixture(scope="module")
def features(ground):
    """Settings of the paper's whole objective, on small networks (Eq. 9)."""
    return [
        WHOLE,
        f"features.extractor={extractor_file(ground.root)}",
        f"features.dino={dino_file(ground.root)}",
    ]


def losses(stage, batch=None, phase="student"):
    batch = batch_of(2) if batch is None else batch
    return stage.losses(phase, batch, torch.Generator().manual_seed(0))


def test_the_student_starts_as_a_copy_of_the_teacher(ground):
    stage = stage_of(ground)

    student, teacher = stage.networks()["student"], stage.frozen()[0]

    assert student is not teacher
    for (name, a), b in zip(student.named_parameters(), teacher.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_teacher_and_features_are_frozen_from_the_start_and_take_no_gradient(ground):
    stage = stage_of(ground)
    teacher = stage.frozen()[0]

    for term in losses(stage).values():
        term.backward(retain_graph=True)

    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.grad is None for p in teacher.parameters())


def test_terms_are_computed_in_the_order_of_the_table_and_not_at_weight_0(ground):
    stage = stage_of(ground, "terms={cov: 0.1, inv: 0, l1: 0, adversarial: 0}")

    assert list(losses(stage)) == ["distill", "cov", "con"]
    assert stage.weights() == {"distill": 1, "con": 1, "cov": 0.1}
    assert [name for name in LOSSES if name in stage.weights()] == ["distill", "cov", "con"]


def test_a_decoder_that_learns_takes_gradient_from_picture_terms(ground):
    stage = stage_of(ground)
    decoder = stage.networks()["decoder"]

    terms = losses(stage)

    for name, reaches in (("distill", False), ("l1", True), ("adversarial", True)):
        grads = torch.autograd.grad(
            terms[name], list(decoder.parameters()), retain_graph=True, allow_unused=True
        )
        assert any(gradient is not None for gradient in grads) == reaches, name


def test_the_discriminator_s_phase_trains_the_discriminator_alone(ground):
    stage = stage_of(ground)
    networks = {name: net.requires_grad_(True) for name, net in stage.networks().items()}

    losses(stage, phase="discriminator")["discriminator"].backward()

    assert all(p.grad is not None for p in networks["discriminator"].parameters())
    for name in ("student", "decoder"):
        assert all(p.grad is None for p in networks[name].parameters())


@pytest.mark.parametrize("corner", [(0, 0), (3, 4)])
def test_picture_terms_see_one_square_of_sr_and_gt(ground, corner):
    stage = stage_of(ground, "part=12", "train_decoder=false")
    batch, noise = batch_of(2), torch.zeros(2, 4, 16, 16)
    top, left = corner

    inputs = stage.inputs(batch, noise=noise, corner=corner)

    square = batch.gt_pm1[:, :, 4 * top : 4 * top + 48, 4 * left : 4 * left + 48]
    assert torch.equal(inputs.gt_pm1, square)
    assert inputs.sr_pm1.shape == (2, 3, 48, 48)
    lq = batch.lq_pm1[:, :, top : top + 12, left : left + 12]
    x_0 = inputs.x_0_student[:, :, top : top + 12, left : left + 12]
    assert torch.equal(inputs.sr_pm1, stage.frozen()[1].decode(x_0, lq))


@pytest.mark.parametrize("corner", [(0, 0), (1, 3), (4, 4)])
def test_a_margin_gives_the_square_neighbours_where_the_patch_has_them(ground, corner):
    stage = stage_of(ground, "part=12", "margin=2", "train_decoder=false")
    batch, noise = batch_of(2), torch.zeros(2, 4, 16, 16)
    top, left = corner
    first, last = (max(c - 2, 0) for c in corner), (min(c + 14, 16) for c in corner)
    rows, columns = (slice(a, b) for a, b in zip(first, last, strict=True))

    inputs = stage.inputs(batch, noise=noise, corner=corner)

    lq, x_0 = batch.lq_pm1[:, :, rows, columns], inputs.x_0_student[:, :, rows, columns]
    picture = stage.frozen()[1].decode(x_0, lq)
    y, x = 4 * (top - rows.start), 4 * (left - columns.start)
    assert torch.equal(inputs.sr_pm1, picture[:, :, y : y + 48, x : x + 48])
    assert torch.equal(
        inputs.gt_pm1, batch.gt_pm1[:, :, 4 * top : 4 * top + 48, 4 * left : 4 * left + 48]
    )


def test_the_square_of_a_batch_is_the_same_for_all_its_parts(ground):
    stage = stage_of(ground, "part=12")
    batch = batch_of(4)

    whole = losses(stage, batch)["l1"]
    parts = [losses(stage, batch.part(k, k + 2))["l1"] for k in (0, 2)]

    torch.testing.assert_close(whole, (parts[0] + parts[1]) / 2, atol=1e-6, rtol=1e-5)


def test_the_paper_s_objective_is_whole_and_trains_the_student_alone(ground, features):
    stage = stage_of(ground, *features)
    networks = {type(net).__name__: net for net in stage.frozen()}

    terms = losses(stage)
    sum(stage.weights()[name] * term for name, term in terms.items()).backward()

    assert stage.weights() == {"distill": 1, "inv": 1, "con": 1, "hf": 0.2, "js_dino": 0.15}
    assert list(terms) == ["distill", "inv", "con", "hf", "js_dino"]
    assert all(term > 0 for term in terms.values())
    assert all(p.grad is not None for p in stage.networks()["student"].parameters())
    assert {"Extractor", "Backbone"} <= networks.keys()
    for net in stage.frozen():
        trained = set(map(id, stage.networks()["decoder"].parameters()))
        assert all(p.grad is None for p in net.parameters() if id(p) not in trained)


@pytest.mark.parametrize("term", ["hf", "js_dino"])
def test_the_branch_decides_which_of_the_student_s_calls_an_image_term_trains(
    ground, features, term
):
    """Eq. 6 and Algorithm 1 disagree (spec 11): the two branches are other numbers."""
    alone = f"terms={{distill: 0, inv: 0, con: 0, hf: 0, js_dino: 0, l1: 0, {term}: 1}}"

    values = [
        losses(stage_of(ground, *features, alone, f"branch={branch}"))[term].item()
        for branch in ("distill", "consistency")
    ]

    assert values[0] != pytest.approx(values[1], rel=1e-3)


def test_chunks_change_neither_terms_nor_gradients(ground, features):
    found = []
    for chunk in (0, 1):
        stage = stage_of(ground, *features, f"chunk={chunk}")
        terms = losses(stage)
        (terms["hf"] + terms["js_dino"]).backward()
        parameters = [p for net in stage.networks().values() for p in net.parameters()]
        found.append((terms, [p.grad for p in parameters if p.grad is not None]))

    (whole, its), (cut, theirs) = found
    for name, term in whole.items():
        torch.testing.assert_close(cut[name], term, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(its, theirs, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(("way", "is_said"), [("batch_relation", True), ("cls_softmax", False)])
def test_a_distribution_over_micro_batches_is_said(ground, features, caplog, way, is_said):
    stage_of(ground, *features, f"features.js.way={way}", "micro_batch=2")

    assert ("js_dino compares the pictures of each micro-batch" in caplog.text) == is_said


def test_the_card_names_the_frozen_networks_that_were_looked_through(ground, features, tmp_path):
    stage = stage_of(ground, *features)

    stage.export(stage.networks(), tmp_path / "student.safetensors", {"stage": "distill"})

    told = load_model(tmp_path / "student.safetensors")[1].card.training["stages"][-1]
    assert set(told["frozen_networks"]) == {"extractor", "dino"}
    assert told["frozen_networks"]["extractor"].startswith("content hash ")
    assert told["frozen_networks"]["dino"].startswith("dinov2 vits14")


def test_a_card_names_none_where_none_was_used(ground, tmp_path):
    stage = stage_of(ground)

    stage.export(stage.networks(), tmp_path / "student.safetensors", {"stage": "distill"})

    card = load_model(tmp_path / "student.safetensors")[1].card
    assert "frozen_networks" not in card.training["stages"][-1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("features.extractor=''", SettingsError, r"hf needs .*: set features\.extractor"),
        ("features.extractor=nowhere.safetensors", CheckpointError, "nowhere.* does not exist"),
        ("features.extractor={codec}", CheckpointError, "must hold a feature extractor, it is of"),
        ("features.dino=''", SettingsError, "js_dino needs a network"),
        ("features.dino=nowhere.pth", CheckpointError, r"no DINOv2 weights at nowhere\.pth"),
        ("features.dino={extractor}", CheckpointError, "extractor.safetensors"),
    ],
)
def test_a_missing_or_wrong_feature_network_is_one_sentence_before_anything_is_computed(
    ground, features, change, error, message
):
    files = {"{codec}": "lite_codec.safetensors", "{extractor}": "extractor.safetensors"}
    for name, file in files.items():
        change = change.replace(name, str(ground.root / file))

    with pytest.raises(error, match=message) as caught:
        stage_of(ground, *features, change)

    assert "\n" not in str(caught.value)


def test_a_student_may_go_on_under_a_teacher_of_its_own(ground):
    teacher = ground.root / "lite_teacher.safetensors"
    student, _ = load_model(teacher)
    with torch.no_grad():
        student.network.leave.bias.add_(1)
    save_model(ground.root / "student.safetensors", student, CARD)

    stage = stage_of(ground, f"start={ground.root / 'student.safetensors'}", f"teacher={teacher}")

    difference = stage.networks()["student"].leave.bias - stage.frozen()[0].leave.bias
    torch.testing.assert_close(difference, torch.ones(4))


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"distil": 1.0}, "terms: unknown term distil; did you mean distill?"),
        ({"beauty": 1.0}, "terms: unknown term beauty; known terms: distill, inv"),
        ({"inv": -1.0}, "terms.inv must be at least 0, got -1.0"),
        ({"inv": float("nan")}, "terms.inv must be at least 0, got nan"),
        ({"inv": 0.0}, "terms: none has a weight"),
    ],
)
def test_terms_that_cannot_work_are_refused(terms, message):
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        DistillSettings(terms=terms)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["start=''"], "start: distillation needs a teacher's model file"),
        (["start={codec}"], "holds an autoencoder only, no teacher"),
        (["start={published}", "data.gt_size=128", "terms={distill: 1}"], "train_decoder: only"),
        (["teacher={published}"], "must have the schedule and the latents of"),
        (["part=2"], "the discriminator needs pictures of at least 12 pixels a side, got 8"),
        (["margin=2", "part=0"], "margin is round a part: part must be above 0"),
        (["part=3", "terms={vgg: 1}"], "VGG16 needs squares of at least 16 pixels, got 12"),
    ],
)
def test_what_cannot_work_is_refused(ground, changes, message):
    files = {
        "{codec}": ground.root / "lite_codec.safetensors",
        "{published}": published_teacher_file(ground.root),
    }
    for name, path in files.items():
        changes = [change.replace(name, str(path)) for change in changes]

    with pytest.raises(SettingsError, match=message):
        stage_of(ground, *changes)


def test_recomputing_changes_memory_and_no_gradient(ground, features):
    def gradients(*changes):
        stage = stage_of(ground, *features, *changes)
        terms = losses(stage)
        sum(stage.weights()[name] * term for name, term in terms.items()).backward()
        student = stage.networks()["student"]
        assert student.recomputes == ("recompute=true" in changes)
        return [p.grad for p in student.parameters()]

    torch.testing.assert_close(gradients("recompute=true"), gradients(), atol=0, rtol=0)
