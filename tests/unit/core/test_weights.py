"""Weights on disk: read as they were written, or refused by one sentence; nothing is executed."""

import pickle
import random

import pytest
import torch
from torch import nn

from hfdiff.core.errors import CheckpointError
from hfdiff.core.weight_notes import read_metadata
from hfdiff.core.weights import (
    content_hash,
    load_strictly,
    read_weights,
    write_weights,
)

TENSORS = {
    "w": torch.linspace(-1, 1, 12).reshape(3, 4),
    "half": torch.linspace(0, 1, 5).half(),
    "brain": torch.linspace(0, 1, 5).bfloat16(),
    "count": torch.arange(4),
    "flag": torch.tensor([True, False]),
    "scalar": torch.tensor(3.0),
    "empty": torch.zeros(0, 3),
}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "a.safetensors"
    write_weights(file, TENSORS, {"about": "numbers"})
    return file


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    return str(caught.value), caught.value.hint


def test_tensors_and_metadata_come_back(path):
    tensors, metadata = read_weights(path)

    assert metadata == {"about": "numbers"}
    assert tensors.keys() == TENSORS.keys()
    for key, tensor in TENSORS.items():
        assert tensors[key].dtype == tensor.dtype
        assert torch.equal(tensors[key], tensor)


def test_parts_of_larger_tensors_are_written_as_they_look(tmp_path):
    whole = torch.arange(20.0).reshape(4, 5)

    write_weights(tmp_path / "a.safetensors", {"turned": whole.T, "part": whole[1:3, ::2]}, {})

    tensors, _ = read_weights(tmp_path / "a.safetensors")
    assert torch.equal(tensors["turned"], whole.T)
    assert torch.equal(tensors["part"], whole[1:3, ::2])


def test_metadata_alone_need_no_weights(path):
    assert read_metadata(path) == {"about": "numbers"}


def test_a_missing_file_is_named(tmp_path):
    message, _ = refusal(tmp_path / "gone.safetensors")

    assert message == f"model file {tmp_path / 'gone.safetensors'} does not exist"


@pytest.mark.parametrize("tenth", range(10))
def test_a_file_that_was_cut_off_is_refused(path, tenth):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * tenth // 10])

    message, hint = refusal(path)

    assert "is not a whole .safetensors file" in message
    assert "hfdiff convert" in hint


class Trap:
    """Leaves a mark where a pickle is executed."""

    def __reduce__(self):
        return (exec, ("import builtins; builtins.hfdiff_was_here = True",))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_renamed_pickle_is_refused_and_not_executed(path, protocol):
    import builtins

    path.write_bytes(pickle.dumps({"w": Trap()}, protocol=protocol))

    message, _ = refusal(path)

    assert "is not a whole .safetensors file" in message
    assert not hasattr(builtins, "hfdiff_was_here")


def test_a_renamed_checkpoint_of_torch_is_refused(path):
    torch.save({"w": torch.ones(3)}, path)

    assert "is not a whole .safetensors file" in refusal(path)[0]


def test_every_bit_of_the_tensors_counts_in_the_hash(path):
    """300 single bits behind the header."""
    whole = path.read_bytes()
    stated = content_hash(TENSORS)
    begin = 8 + int.from_bytes(whole[:8], "little")
    places = range(begin * 8, len(whole) * 8)
    rng = random.Random(0)

    for place in rng.sample(places, min(300, len(places))):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert content_hash(read_weights(path)[0]) != stated


def test_damage_anywhere_is_a_sentence_or_other_tensors(path):
    whole = path.read_bytes()
    rng = random.Random(1)

    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read_weights(path)
        except CheckpointError as error:
            assert "\n" not in str(error)  # noqa: PT017  (either outcome is right)


def test_the_hash_knows_names_types_and_shapes_but_no_order():
    base = {"a": torch.zeros(2, 3), "b": torch.ones(4)}
    same = {"b": torch.ones(4), "a": torch.zeros(2, 3)}
    others = [
        {"a": torch.zeros(3, 2), "b": torch.ones(4)},
        {"a": torch.zeros(2, 3).half(), "b": torch.ones(4)},
        {"c": torch.zeros(2, 3), "b": torch.ones(4)},
        {"a": torch.zeros(2, 3)},
        {"a": torch.zeros(2, 3), "b": torch.ones(4), "c": torch.zeros(0)},
    ]

    assert content_hash(same) == content_hash(base)
    assert len({content_hash(other) for other in [base, *others]}) == len(others) + 1


def test_the_hash_of_known_tensors_stays():
    """Files of version 0.1 carry it; origin: this code at that version."""
    stated = "6bc1fed43381668ff6778a4b4b2c838ec58624080b824ca10e39e5ce2fe44567"

    assert content_hash(TENSORS) == stated


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def test_weights_are_put_into_the_network():
    source, target = network(), network()

    load_strictly(target, source.state_dict(), "a.safetensors")

    assert torch.equal(source[1].weight, target[1].weight)


def test_half_weights_land_in_the_network_s_own_type():
    halves = {key: tensor.half() for key, tensor in network().state_dict().items()}
    target = network()

    load_strictly(target, halves, "x")

    assert target[0].weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("1.bias"), "a.safetensors lacks the tensors 1.bias"),
        (lambda t: t.clear(), "a.safetensors lacks the tensors 0.bias, 0.weight, 1.bias, 1.weight"),
        (
            lambda t: t.update({"2.bias": torch.zeros(1)}),
            "a.safetensors has tensors that nothing uses: 2.bias",
        ),
        (
            lambda t: t.update({f"x{k}": torch.zeros(1) for k in range(7)}),
            "a.safetensors has tensors that nothing uses: x0, x1, x2, x3, x4 and 2 more",
        ),
        (
            lambda t: t.update({"0.weight": torch.zeros(3, 4)}),
            "a.safetensors: 0.weight must have the shape [4, 3], got [3, 4]",
        ),
    ],
)
def test_keys_and_shapes_must_fit_exactly(change, message):
    tensors = dict(network().state_dict())
    change(tensors)

    with pytest.raises(CheckpointError) as caught:
        load_strictly(network(), tensors, "a.safetensors")

    assert str(caught.value) == message


def test_a_weight_file_has_the_rights_of_any_new_file(tmp_path):
    """The library of safetensors writes private files."""
    (tmp_path / "plain").touch()

    write_weights(tmp_path / "a.safetensors", {"x": torch.zeros(2)}, {})

    modes = {(tmp_path / name).stat().st_mode for name in ("plain", "a.safetensors")}
    assert len(modes) == 1
