"""One-step diffusion super-resolution for photographs.

The names below are the public interface; each is imported when it is first used, so that
``import hfdiff`` costs nothing. Everything else may change in any release.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfdiff.core.errors import HFDiffError
    from hfdiff.degradation.pipeline import degrade
    from hfdiff.diffusion.schedule import ShiftSchedule
    from hfdiff.evaluation.runner import evaluate
    from hfdiff.metrics.table import METRICS
    from hfdiff.model.model_file import load_model
    from hfdiff.model.sr_model import SRModel
    from hfdiff.training.presets import PRESETS
    from hfdiff.upscaling.options import UpscaleOptions
    from hfdiff.upscaling.upscaler import Upscaler

    __version__: str

__all__ = [
    "METRICS",
    "PRESETS",
    "HFDiffError",
    "SRModel",
    "ShiftSchedule",
    "UpscaleOptions",
    "Upscaler",
    "__version__",
    "degrade",
    "evaluate",
    "load_model",
]

_HOMES = {
    "METRICS": "hfdiff.metrics.table",
    "PRESETS": "hfdiff.training.presets",
    "HFDiffError": "hfdiff.core.errors",
    "SRModel": "hfdiff.model.sr_model",
    "ShiftSchedule": "hfdiff.diffusion.schedule",
    "UpscaleOptions": "hfdiff.upscaling.options",
    "Upscaler": "hfdiff.upscaling.upscaler",
    "degrade": "hfdiff.degradation.pipeline",
    "evaluate": "hfdiff.evaluation.runner",
    "load_model": "hfdiff.model.model_file",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("hfdiff")
    if name not in _HOMES:
        raise AttributeError(f"module 'hfdiff' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
