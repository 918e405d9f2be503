import logging
import subprocess
import sys

import pytest
import torch
from torch import nn

from hfdiff.core.errors import CheckpointError
from hfdiff.core.weights import write_weights
from hfdiff.training.state import load_newest, save_checkpoint, tidy


def network(seed=0, width=4):
    generator = torch.Generator().manual_seed(seed)
    made = nn.Conv2d(3, width, 3).to(memory_format=torch.channels_last)
    for parameter in made.parameters():
        nn.init.normal_(parameter, generator=generator)
    return made


def stepped(made, steps=2):
    optimiser = torch.optim.AdamW(made.parameters(), lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        made(torch.ones(1, 3, 4, 4)).square().sum().backward()
        optimiser.step()
    return optimiser


def save(folder, step, *, keep=3, seed=0):
    made = network(seed)
    optimiser = stepped(made)
    path = save_checkpoint(folder, step, {"n": made}, {"p": optimiser}, keep=keep, settings="a: 1")
    return path, made, optimiser


def load(folder, made=None):
    made = network(9) if made is None else made
    optimiser = torch.optim.AdamW(made.parameters(), lr=0.1)
    return load_newest(folder, {"n": made}, {"p": optimiser}), made, optimiser


def test_everything_comes_back_to_the_bit_and_goes_on_to_the_bit(tmp_path):
    _, made, optimiser = save(tmp_path, 20)

    restored, again, optimiser_again = load(tmp_path)

    assert (restored.step, restored.settings) == (20, "a: 1")
    for _ in range(3):
        for one, other in ((made, optimiser), (again, optimiser_again)):
            other.zero_grad()
            one(torch.ones(1, 3, 4, 4)).square().sum().backward()
            other.step()
    assert all(
        torch.equal(a, b) for a, b in zip(made.parameters(), again.parameters(), strict=True)
    )


def test_moments_have_the_layout_of_their_parameters(tmp_path):
    _, made, _ = save(tmp_path, 20)

    _, _, optimiser = load(tmp_path)

    moment = optimiser.state_dict()["state"][0]["exp_avg"]
    assert moment.stride() == made.weight.stride()


def test_without_a_checkpoint_nothing_was_done(tmp_path):
    assert load(tmp_path / "nowhere")[0].step == 0


def test_the_newest_are_kept(tmp_path):
    for step in (5, 20, 100):
        save(tmp_path, step, keep=2)

    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-00000020.safetensors",
        "step-00000100.safetensors",
    ]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, caplog, damage):
    _, made, _ = save(tmp_path, 20)
    newest, *_ = save(tmp_path, 40, seed=1)
    content = bytearray(newest.read_bytes())
    match damage:
        case "cut":
            content = content[: len(content) // 2]
        case "flipped":
            content[-9] ^= 1
        case "empty":
            content = bytearray()
    newest.write_bytes(content)
    if damage == "foreign":
        write_weights(newest, {"n/weight": torch.zeros(3)}, {"hfdiff_checkpoint": "[]"})

    with caplog.at_level(logging.WARNING):
        restored, again, _ = load(tmp_path)

    assert restored.step == 20
    assert torch.equal(again.weight, made.weight)
    assert "checkpoint passed over" in caplog.text
    assert "step-00000040.safetensors" in caplog.text


def test_a_damaged_checkpoint_is_moved_aside_so_that_it_does_not_push_out_good_ones(tmp_path):
    save(tmp_path, 20)
    newest, *_ = save(tmp_path, 40)
    newest.write_bytes(b"torn")

    tidy(tmp_path, load(tmp_path)[0].step)
    save(tmp_path, 30, keep=1)

    assert load(tmp_path)[0].step == 30
    assert (tmp_path / "damaged-step-00000040.safetensors").read_bytes() == b"torn"


def test_when_no_checkpoint_is_whole_the_run_does_not_start_over_silently(tmp_path):
    for step in (20, 40):
        save(tmp_path, step)[0].write_bytes(b"torn")

    with pytest.raises(CheckpointError, match=r"none of the 2 checkpoints in .* is whole"):
        load(tmp_path)


def test_a_checkpoint_of_other_networks_is_refused(tmp_path):
    save(tmp_path, 20)

    with pytest.raises(CheckpointError, match=r"\(n\): bias must have the shape \[8\], got \[4\]"):
        load(tmp_path, network(width=8))


def test_moments_of_other_parameters_are_refused(tmp_path):
    save(tmp_path, 20)
    made = network()
    wrong = torch.optim.AdamW([made.bias], lr=0.1)

    with pytest.raises(
        CheckpointError, match=r"optimiser p\): 0/exp_avg must have the shape \[4\]"
    ):
        load_newest(tmp_path, {"n": made}, {"p": wrong})


KILLED_WHILE_WRITING = """
import os, signal, sys
import safetensors.torch
whole = safetensors.torch.save_file
def half(tensors, path, metadata):
    whole(tensors, path, metadata=metadata)
    os.truncate(path, os.path.getsize(path) // 2)
    os.kill(os.getpid(), signal.SIGKILL)
import hfdiff.core.weights
hfdiff.core.weights.save_file = half
from pathlib import Path
from torch import nn
from hfdiff.training.state import save_checkpoint
save_checkpoint(Path(sys.argv[1]), 40, {"n": nn.Conv2d(3, 4, 3)}, {}, keep=3, settings="")
"""


def test_a_kill_during_a_write_leaves_the_checkpoint_before_and_is_named(tmp_path, caplog):
    save(tmp_path, 20)

    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, tmp_path], check=False)

    assert done.returncode == -9
    (unfinished,) = tmp_path.glob(".hfdiff-*")
    with caplog.at_level(logging.WARNING):
        restored, *_ = load(tmp_path)
        tidy(tmp_path, restored.step)
    assert restored.step == 20
    assert caplog.messages == [f"removed {unfinished}, a checkpoint whose writing was cut off"]
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000020.safetensors"]
