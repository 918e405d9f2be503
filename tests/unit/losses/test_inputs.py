import pytest
import torch

from toy_student import Toy


def test_nothing_is_computed_before_it_is_asked_for():
    toy = Toy()

    toy.inputs()

    assert toy.calls == []


def test_each_piece_is_computed_once():
    toy = Toy()
    inputs = toy.inputs()

    for _ in range(2):
        _ = inputs.x_0_teacher, inputs.x_0_student, inputs.x_T_student, inputs.sr_pm1

    assert sorted(toy.calls) == ["decode", "predict_x_0", "predict_x_T", "teacher"]


def test_the_teacher_is_followed_without_gradient():
    toy = Toy()

    inputs = toy.inputs()

    assert not inputs.x_0_teacher.requires_grad
    assert inputs.x_T_student.requires_grad


def test_the_way_back_from_the_gt_has_gradient_in_its_second_direction_only():
    """Facts e.3 step 5: g = S(z_gt, 0) without gradient, c = S(g, T-1)."""
    toy = Toy()

    toy.inputs().x_0_consistent.sum().backward()

    assert toy.forward.grad is not None
    assert toy.inverse.grad is None


def test_asking_for_the_noisy_start_first_changes_the_cost_and_not_the_result():
    alone, together = Toy(), Toy()
    inputs = together.inputs()

    _ = inputs.x_T_gt
    back = inputs.x_0_consistent
    back.sum().backward()

    assert torch.equal(back, alone.inputs().x_0_consistent)
    assert together.calls == ["predict_x_T", "predict_x_0"]
    assert together.inverse.grad is None


def test_the_noisy_start_of_the_gt_itself_carries_its_gradient():
    toy = Toy()

    toy.inputs().x_T_gt.sum().backward()

    assert toy.inverse.grad is not None


@pytest.mark.parametrize(
    ("branch", "expected"), [("distill", "x_0_student"), ("consistency", "x_0_consistent")]
)
def test_the_branch_says_which_latent_is_decoded(branch, expected):
    inputs = Toy().inputs(branch)

    picture = inputs.student.decode(getattr(inputs, expected))

    assert torch.equal(inputs.sr_pm1, picture)
