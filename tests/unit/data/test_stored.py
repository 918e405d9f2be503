from collections import Counter

import pytest
import torch

from hfdiff.core.errors import CheckpointError, SettingsError
from hfdiff.data.batches import DataSettings, PairBatches
from hfdiff.data.pictures import PictureSet
from hfdiff.data.stored import CHUNK, StoredBatches
from training_pieces import write_pictures

DATA = DataSettings(gt_size=64, degradation="mild", workers=0)
COUNT = CHUNK + 5
SHAPE = (2, 16, 16)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return PictureSet([write_pictures(tmp_path_factory.mktemp("pictures"))], least_side=64)


def stored(pictures, folder, *, seed=3, batch=4, count=COUNT, **shares):
    return StoredBatches(
        pictures, DATA, folder=folder, count=count, seed=seed, batch=batch, **shares
    )


def answers(pairs, chunk):
    """Made up, and different for each sample."""
    numbers = chunk * CHUNK + torch.arange(len(pairs), dtype=torch.float32)
    return numbers.view(-1, 1, 1, 1).expand(-1, *SHAPE)


@pytest.fixture(scope="module")
def filled(pictures, tmp_path_factory):
    batches = stored(pictures, tmp_path_factory.mktemp("stored"))
    for chunk in batches.missing():
        pairs = batches.pairs_of(chunk)
        batches.keep(chunk, pairs, answers(pairs, chunk))
    return batches


def test_every_epoch_shows_every_sample_once_in_an_order_of_its_own(filled):
    shown = [
        float(filled[number].x_0_teacher[k, 0, 0, 0]) for number in range(19) for k in range(4)
    ]

    epochs = shown[:COUNT], shown[COUNT : 2 * COUNT]
    assert all(Counter(epoch) == Counter(range(COUNT)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_a_sample_is_the_pair_of_its_number_with_its_own_noise_and_answer(pictures, filled):
    plain = PairBatches(pictures, DATA, seed=3, batch=1)

    batch = filled[2]

    for k in range(len(batch)):
        number = int(batch.x_0_teacher[k, 0, 0, 0])
        pair = plain[number]
        assert torch.equal(batch.lq_pm1[k], pair.lq_pm1[0])
        assert torch.equal(batch.gt_pm1[k], pair.gt_pm1[0])
        assert batch.names[k] == pair.names[0]
        chunk, row = divmod(number, CHUNK)
        noise = filled.noise_of(chunk, row + 1, SHAPE)[row]
        assert torch.equal(batch.noise[k], noise)


def test_noise_is_standard_normal_and_differs_between_samples_and_seeds(pictures, filled, tmp_path):
    noise = filled.noise_of(0, 8, (4, 32, 32))

    assert noise.mean().abs() < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert len({float(sample.sum()) for sample in noise}) == 8
    other = stored(pictures, tmp_path, seed=4).noise_of(0, 8, (4, 32, 32))
    assert not torch.equal(noise, other)


def test_parts_copies_and_ranks_keep_noise_and_answers(pictures, filled):
    whole = filled[1]

    part = whole.part(1, 3).to(torch.device("cpu"))
    shares = [stored(pictures, filled.folder, rank=rank, ranks=2)[1] for rank in (0, 1)]

    for name in ("noise", "x_0_teacher", "lq_pm1"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[1:3])
        assert torch.equal(torch.cat([getattr(s, name) for s in shares]), getattr(whole, name))
    assert (part.first, part.whole_size) == (1, 4)


def test_what_is_missing_is_known_after_a_kill(pictures, filled, tmp_path):
    batches = stored(pictures, tmp_path)
    assert batches.missing() == [0, 1]

    pairs = batches.pairs_of(0)
    batches.keep(0, pairs, answers(pairs, 0))

    assert len(pairs) == CHUNK
    assert batches.missing() == [1]
    assert len(batches.pairs_of(1)) == COUNT - CHUNK
    assert filled.missing() == []


def test_results_of_something_else_are_refused(pictures, tmp_path):
    about = {"teacher": "aaa", "data": {"gt_size": 64}, "seed": 3}
    batches = stored(pictures, tmp_path)
    batches.check(about)
    batches.check(dict(about))

    with pytest.raises(SettingsError, match="made with another teacher, seed") as caught:
        batches.check({**about, "teacher": "bbb", "seed": 4})

    assert "another stored_folder" in caught.value.hint


def test_a_torn_file_is_one_sentence_with_a_way_out(pictures, filled, tmp_path):
    for path in filled.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:100])

    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        stored(pictures, tmp_path)[0]

    assert caught.value.hint == "remove that file, and they are computed again"
