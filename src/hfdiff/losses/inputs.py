"""What the terms of distillation are computed from, each piece on first use (style 3.4).

Switching a term off so removes its cost. The names are those of SinSR and of Algorithm 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from hfdiff.losses.chunks import mean_in_chunks

Branch = Literal["distill", "consistency"]


@dataclass(frozen=True, kw_only=True)
class Student:
    """The student's two directions and the decoder, as callables.

    Attributes:
        predict_x_0: Noisy start x_T to clean latent (time index T-1).
        predict_x_T: Clean latent to noisy start (time index 0).
        decode: Latent to picture in about [-1, 1].
    """

    predict_x_0: Callable[[Tensor], Tensor]
    predict_x_T: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class DistillInputs:
    """One batch of distillation.

    Attributes:
        gt_pm1: ``[B, 3, H, W]``.
        x_0_gt: Latent of the gt ``[B, C, h, w]``, without gradient.
        y: Latent of the lq, without gradient.
        x_T: The noisy start, without gradient.
        prior_std: Standard deviation of x_T around y.
        teacher: Follows the teacher's deterministic path from x_T to its clean latent.
        student: What is trained.
        branch: On which of the student's outputs the image terms act (spec 11).
        chunk: Pictures that image terms look at together; 0: all (`hfdiff.losses.chunks`).
    """

    gt_pm1: Tensor
    x_0_gt: Tensor
    y: Tensor
    x_T: Tensor
    prior_std: float
    teacher: Callable[[Tensor], Tensor]
    student: Student
    branch: Branch = "distill"
    chunk: int = 0

    @cached_property
    def x_0_teacher(self) -> Tensor:
        """The teacher's clean latent from x_T, without gradient (paper Eq. 3, Alg. 1 line 6)."""
        with torch.no_grad():
            return self.teacher(self.x_T)

    @cached_property
    def x_0_student(self) -> Tensor:
        """The student's clean latent from x_T in one step."""
        return self.student.predict_x_0(self.x_T)

    @cached_property
    def x_T_student(self) -> Tensor:
        """The student's noisy start from the teacher's clean latent (Eq. 7, Alg. 1 line 8)."""
        return self.student.predict_x_T(self.x_0_teacher)

    @cached_property
    def x_T_gt(self) -> Tensor:
        """The student's noisy start from the gt's latent, with gradient (Alg. 1 line 9)."""
        return self.student.predict_x_T(self.x_0_gt)

    @cached_property
    def x_0_consistent(self) -> Tensor:
        """Clean latent of the gt, to a noisy start and back (Eq. 8, Alg. 1 lines 9, 10).

        The first direction is without gradient, as in SinSR's code (facts e.3 step 5).
        """
        if "x_T_gt" in vars(self):  # a term has asked for it with its gradient: computed already
            return self.student.predict_x_0(self.x_T_gt.detach())
        with torch.no_grad():
            x_T_gt = self.student.predict_x_T(self.x_0_gt)
        return self.student.predict_x_0(x_T_gt)

    @cached_property
    def teacher_pm1(self) -> Tensor:
        """The teacher's answer as a picture, without gradient."""
        with torch.no_grad():
            return self.student.decode(self.x_0_teacher)

    @cached_property
    def student_pm1(self) -> Tensor:
        """The student's answer as a picture: what it gives at inference."""
        return self.student.decode(self.x_0_student)

    @cached_property
    def consistent_pm1(self) -> Tensor:
        """The gt, to a noisy start and back, as a picture."""
        return self.student.decode(self.x_0_consistent)

    @cached_property
    def reconstruction_pm1(self) -> Tensor:
        """The picture of the gt's own latent, with gradient into the decoder."""
        return self.student.decode(self.x_0_gt)

    @property
    def sr_pm1(self) -> Tensor:
        """The picture that image terms look at, with gradient."""
        return self.student_pm1 if self.branch == "distill" else self.consistent_pm1

    def mean_over_pictures(self, term: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """A term of (sr_pm1, gt_pm1) that is a mean over pictures, ``chunk`` of them at a time."""
        return mean_in_chunks(term, (self.sr_pm1, self.gt_pm1), self.chunk)
