"""The run's numbers for TensorBoard, beside the CSV, which stays the source of truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hfdiff.core.errors import MissingExtraError


class Board:
    """Event files below a folder.

    Args:
        folder: Where TensorBoard shall look.
        step: Steps already done; what was shown of later ones is done again and hidden.

    Raises:
        MissingExtraError: without the package tensorboard.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError(
                "tensorboard=true needs the package tensorboard", hint="pip install 'hfdiff[train]'"
            ) from error
        self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Show values under their names."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still held."""
        self._writer.close()
