"""Numbers that are not finite stop a run: what became so, where, and by which files."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hfdiff.core.errors import HFDiffError, some_of
from hfdiff.data.batches import Batch

_HINT = "the last checkpoint is intact; lower the learning rate, set clip, or look at the files"


class NotFiniteError(HFDiffError, ArithmeticError):
    """A number of the run became NaN or infinite; the last checkpoint is intact."""


def check_terms(
    terms: Mapping[str, Tensor], batch: Batch, networks: nn.Module, *, step: int
) -> None:
    """Refuse raw terms that are not finite.

    Raises:
        NotFiniteError: naming the term, the files of the batch, and what was not finite before it.
    """
    for name, term in terms.items():
        if not bool(torch.isfinite(term.detach())):
            raise NotFiniteError(
                f"term {name} is {float(term.detach())} in step {step}{_cause(batch, networks)}; "
                f"the batch holds {', '.join(batch.names)}",
                hint=_HINT,
            )


def check_weights(modules: Mapping[str, nn.Module], *, step: int) -> None:
    """Refuse to keep weights that are not finite.

    Raises:
        NotFiniteError: naming the tensors.
    """
    for name, module in modules.items():
        if spoilt := _spoilt(module):
            raise NotFiniteError(
                f"after step {step} {name} hold values that are not finite in {some_of(spoilt)}; "
                "they are not saved",
                hint=_HINT,
            )


def gradient_error(phase: str, terms: list[str], batch: Batch, *, step: int) -> NotFiniteError:
    """The error for a gradient that is not finite.

    Args:
        phase: Whose gradient.
        terms: The terms whose own gradient is not finite; none where only their sum is not.
        batch: What was computed on.
        step: Number of the step.
    """
    of = f"of term {', '.join(terms)}" if terms else "of the sum of all terms"
    return NotFiniteError(
        f"the gradient {of} is not finite in step {step}, phase {phase}; "
        f"the batch holds {', '.join(batch.names)}",
        hint=_HINT,
    )


def _cause(batch: Batch, networks: nn.Module) -> str:
    for name, picture in (("lq", batch.lq_pm1), ("gt", batch.gt_pm1)):
        finite = torch.isfinite(picture).flatten(1).all(1)
        if not bool(finite.all()):
            files = [file for file, good in zip(batch.names, finite, strict=True) if not good]
            return f" because {name} is not finite in {some_of(files)}"
    spoilt = _spoilt(networks)
    return f" because weights are not finite: {some_of(spoilt)}" if spoilt else ""


def _spoilt(module: nn.Module) -> list[str]:
    tensors = module.state_dict().items()
    return [name for name, tensor in tensors if not bool(torch.isfinite(tensor).all())]
