"""A run with the published draws and the pair pool goes on where it was, to the bit."""

import pytest
import torch

from hfdiff.core.errors import SettingsError
from hfdiff.core.weights import read_weights
from training_pieces import Ground, checkpoint

PUBLISHED = (
    "data.degradation=training",
    "data.crop=published",
    "data.draws=batch",
    "data.pool_batches=2",
)


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return Ground.prepared(tmp_path_factory.mktemp("ground"))


def test_resuming_in_the_middle_of_a_pool_changes_no_bit(ground):
    whole = ground.train("teacher", "whole", *PUBLISHED)
    ground.train("teacher", "parts", *PUBLISHED)
    parts = ground.root / "parts"
    checkpoint(parts, 6).unlink()

    ground.train("teacher", "parts", *PUBLISHED, resume=True)

    ours, theirs = (read_weights(checkpoint(out, 6))[0] for out in (parts, whole))
    assert ours.keys() == theirs.keys()
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


def test_a_fixed_set_of_teacher_results_has_no_pool(ground):
    with pytest.raises(SettingsError, match=r"data\.pool_batches must be 0"):
        ground.settings("distill", "unused", *PUBLISHED, "stored_samples=4")


def test_the_extractor_has_none_of_it(ground):
    with pytest.raises(SettingsError, match=r"data\.crop means nothing here"):
        ground.settings("extractor", "unused", "data.crop=published")
