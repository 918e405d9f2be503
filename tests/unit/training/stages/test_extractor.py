import csv

import pytest
import torch

from hfdiff.core.errors import SettingsError
from hfdiff.data.labels import KINDS
from hfdiff.data.pictures import PictureSet
from hfdiff.model.extractor_file import load_extractor
from hfdiff.training.log import read_log
from hfdiff.training.run import build
from hfdiff.training.stages.extractor import labelled_batches
from training_pieces import freed, write_pictures


@pytest.fixture(scope="module")
def folders(ground):
    """Two classes of two pictures to train on, and the same classes with others to measure on."""
    root = ground.root / "labelled"
    for part, scenes in (("train", ("waves", "bricks")), ("held_out", ("rings", "slope"))):
        for name in ("a", "b"):
            write_pictures(root / part / name)
            for path in (root / part / name).iterdir():
                if path.stem not in scenes:
                    path.unlink()
    return root


def by_folders(folders):
    return [
        f"data.root={folders / 'train'}",
        f"data.validation={folders / 'held_out'}",
        "labels.by=folders",
    ]


def stage_of(ground, *changes):
    return freed(build("extractor", ground.settings("extractor", "stage", *changes), []))


def batch_of(stage, number=0):
    settings = stage.settings
    pictures = PictureSet(settings.data.root, least_side=settings.data.gt_size)
    return labelled_batches(pictures, settings, seed=settings.seed, batch=settings.batch)[number]


def losses(stage, batch):
    return stage.losses("extractor", batch, torch.Generator())


def test_the_one_term_is_the_cross_entropy_of_what_the_head_says(ground):
    stage = stage_of(ground)
    batch = batch_of(stage)
    networks = stage.networks()

    term = losses(stage, batch)["cross_entropy"]

    logits = networks["head"](networks["extractor"](batch.lq_pm1))
    probabilities = logits.softmax(1)[range(len(batch)), batch.labels]
    torch.testing.assert_close(term, -probabilities.log().mean())
    assert stage.weights() == {"cross_entropy": 1.0}


def test_both_networks_learn(ground):
    stage = stage_of(ground)

    losses(stage, batch_of(stage))["cross_entropy"].backward()

    extractor, head = stage.networks().values()
    assert all(p.grad is not None for net in (extractor, head) for p in net.parameters())


def test_the_head_has_a_class_for_every_kind_or_folder(ground, folders):
    kinds = stage_of(ground).networks()["head"].linear.out_features
    sources = stage_of(ground, *by_folders(folders)).networks()["head"].linear.out_features
    both = stage_of(ground, *by_folders(folders), "labels.by=both").networks()["head"].linear

    assert (kinds, sources, both.out_features) == (len(KINDS), 2, 2 * len(KINDS))


def test_the_mean_over_parts_is_that_of_the_whole(ground):
    stage = stage_of(ground)
    batch = batch_of(stage)

    whole = losses(stage, batch)["cross_entropy"]
    parts = [losses(stage, batch.part(k, k + 8))["cross_entropy"] for k in range(0, 32, 8)]

    torch.testing.assert_close(whole, torch.stack(parts).mean(), atol=1e-6, rtol=1e-5)


def test_a_backward_pass_that_rebuilds_states_gives_the_same_gradients_in_any_precision(ground):
    gradients = []
    for form in ("ordinary", "reconstruct"):
        stage = stage_of(ground, f"backward={form}")
        picture_pm1 = batch_of(stage).lq_pm1
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=form == "reconstruct"):
            features = stage._features(picture_pm1)
        features.square().mean().backward()
        gradients.append([p.grad for p in stage.networks()["extractor"].parameters()])

    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-3)


def test_a_run_measures_balanced_accuracy_and_leaves_a_table_of_answers(ground, folders):
    run = ground.train("extractor", "measured", *by_folders(folders), "validate_every=6")

    rows = {name: value for _, name, value in read_log(run / "metrics.csv")}
    measured = {way: rows[f"validation/{way}/balanced_accuracy"] for way in ("mean", "low", "high")}
    assert 0 <= measured["low"] <= measured["mean"] <= measured["high"] <= 1
    assert rows["validation/chance/balanced_accuracy"] == 0.5
    assert rows["validation/cross_entropy"] > 0
    with (run / "samples" / "00000006" / "confusion.csv").open() as stream:
        table = list(csv.reader(stream))
    assert table[0] == ["class", "a", "b"]
    assert [row[0] for row in table[1:]] == ["a", "b"]
    assert [sum(map(int, row[1:])) for row in table[1:]] == [2, 2]


def test_without_a_folder_for_it_originals_are_held_out_and_measured_on(ground):
    run = ground.train("extractor", "held-out", "validate_every=6", "labels.held_out=0.25")

    rows = {name: value for _, name, value in read_log(run / "metrics.csv")}
    assert 0 <= rows["validation/mean/balanced_accuracy"] <= 1
    with (run / "samples" / "00000006" / "confusion.csv").open() as stream:
        table = list(csv.reader(stream))
    assert sum(int(cell) for row in table[1:] for cell in row[1:]) == len(KINDS)


def test_it_learns_to_tell_what_was_done_to_pictures(ground):
    run = ground.train(
        "extractor",
        "learns",
        "iterations=140",
        "checkpoint_every=0",
        "data.gt_size=20",
        "norms_every=0",
        "log_every=100",
    )

    values = [row[2] for row in read_log(run / "metrics.csv") if row[1] == "cross_entropy"]
    assert sum(values[:20]) / 20 > 1.5
    assert sum(values[-20:]) / 20 < 1.2


def test_the_file_holds_h_alone_with_the_spread_of_its_channels(ground):
    run = ground.train("extractor", "exported")

    extractor, description = load_extractor(run / "model.safetensors")

    assert not torch.equal(extractor.channel_std, torch.ones_like(extractor.channel_std))
    assert bool((extractor.channel_std > 0).all())
    (stage,) = description.card.training["stages"]
    assert stage["labels"] == "degradations"
    assert stage["names"] == list(KINDS)
    assert stage["steps"] == 6


def test_a_run_may_go_on_with_an_extractor(ground):
    first = ground.train("extractor", "first") / "model.safetensors"

    stage = stage_of(ground, f"start={first}", "extractor.invertible.width=8")

    assert stage.networks()["extractor"].config == load_extractor(first)[0].config
    second = ground.train("extractor", "second", f"start={first}")
    card = load_extractor(second / "model.safetensors")[1].card
    assert [one["start"] for one in card.training["stages"]] == ["", "model.safetensors"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["labels.by=folders"], "all pictures are of one class, pictures"),
        (["data.degradation=mild"], r"data\.degradation means nothing here"),
        (["data.scale=2"], r"data\.scale means nothing here"),
        (["spread_pictures=0"], "spread_pictures must be at least 1, got 0"),
        (["head.widths=[12]"], r"the head's widths must be multiples of 8, got \[12\]"),
        (["data.validation={pictures}"], "pictures that are not trained on"),
    ],
)
def test_what_cannot_work_is_refused(ground, changes, message):
    changes = [change.replace("{pictures}", str(ground.root / "pictures")) for change in changes]

    with pytest.raises(SettingsError, match=message):
        stage_of(ground, *changes)
