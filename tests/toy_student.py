"""A student, a teacher and a decoder of a few numbers each, for tests of losses."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hfdiff.losses.inputs import Branch, DistillInputs, Student

PRIOR_STD = 1.5


@dataclass
class Toy:
    """Everything is a scale of its input; calls are counted by name."""

    dtype: torch.dtype = torch.float32
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.forward = self._number(0.7)
        self.inverse = self._number(1.3)
        self.decoder = self._number(0.9, trains=False)
        self.teacher = self._number(0.6)
        generator = torch.Generator().manual_seed(0)
        draw = {"generator": generator, "dtype": self.dtype}
        self.x_0_gt, self.y, noise = (torch.randn(2, 2, 10, 12, **draw) for _ in range(3))
        self.x_T = self.y + PRIOR_STD * noise
        self.gt_pm1 = torch.randn(2, 3, 40, 48, **draw).tanh()
        self.to_colours = torch.randn(3, 2, 1, 1, **draw)

    def inputs(self, branch: Branch = "distill", *, chunk: int = 0) -> DistillInputs:
        """A batch of it."""
        return DistillInputs(
            gt_pm1=self.gt_pm1,
            x_0_gt=self.x_0_gt,
            y=self.y,
            x_T=self.x_T,
            prior_std=PRIOR_STD,
            teacher=self._noted("teacher", lambda x: self.teacher * x),
            student=Student(
                predict_x_0=self._noted("predict_x_0", lambda x: self.forward * x),
                predict_x_T=self._noted("predict_x_T", lambda x: self.inverse * x),
                decode=self._noted("decode", self._decode),
            ),
            branch=branch,
            chunk=chunk,
        )

    def _decode(self, x_0: Tensor) -> Tensor:
        colours = F.conv2d(self.decoder * x_0, self.to_colours)
        return F.interpolate(colours, scale_factor=4.0, mode="bicubic").tanh()

    def _number(self, value: float, *, trains: bool = True) -> nn.Parameter:
        return nn.Parameter(torch.tensor(value, dtype=self.dtype), requires_grad=trains)

    def _noted(self, name, function):
        def call(tensor: Tensor) -> Tensor:
            self.calls.append(name)
            return function(tensor)

        return call
