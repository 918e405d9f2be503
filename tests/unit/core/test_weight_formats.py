import pytest
import torch

from hfdiff.core.errors import CheckpointError
from hfdiff.core.weight_formats import read_plain_tensors
from hfdiff.core.weights import write_weights

WEIGHTS = {"a.weight": torch.ones(2, 3), "b": torch.zeros(1)}


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors"])
def test_named_weights_come_back_as_they_were_saved(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    if suffix == ".safetensors":
        write_weights(path, WEIGHTS, {})
    else:
        torch.save(WEIGHTS, path)

    tensors = read_plain_tensors(path)

    assert tensors.keys() == WEIGHTS.keys()
    assert all(torch.equal(tensors[key], WEIGHTS[key]) for key in WEIGHTS)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "teacher"])
def test_a_training_run_s_file_is_looked_into(tmp_path, wrapper):
    torch.save({wrapper: WEIGHTS, "iteration": 7}, tmp_path / "run.pth")

    assert read_plain_tensors(tmp_path / "run.pth").keys() == WEIGHTS.keys()


def test_what_is_no_tensor_is_left_out(tmp_path):
    torch.save({**WEIGHTS, "epoch": 3}, tmp_path / "net.pth")

    assert read_plain_tensors(tmp_path / "net.pth").keys() == WEIGHTS.keys()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_does_not_exist_is_named(tmp_path, suffix):
    with pytest.raises(CheckpointError, match=f"nowhere{suffix} does not exist"):
        read_plain_tensors(tmp_path / f"nowhere{suffix}")


def test_code_in_a_file_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "was-run"), "w"))

    torch.save({"a": Evil()}, tmp_path / "evil.pth")

    with pytest.raises(CheckpointError, match="cannot be read as a file of plain tensors"):
        read_plain_tensors(tmp_path / "evil.pth")

    assert not (tmp_path / "was-run").exists()
