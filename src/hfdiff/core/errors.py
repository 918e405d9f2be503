"""The errors a user can meet: one tree, each with one clear sentence and, where it helps, a hint.

No torch here: the command line reports errors before anything heavy is imported.
"""


class HFDiffError(Exception):
    """Base of every error that hfdiff raises on purpose.

    Args:
        message: One sentence: what was expected, what came, where. Lowercase, no full stop.
        hint: What to do about it, if that is not plain from the message.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class SettingsError(HFDiffError, ValueError):
    """An option or a configuration value that cannot work."""


class ImageError(HFDiffError, ValueError):
    """A picture that cannot be read, handled or written."""


class CheckpointError(HFDiffError, ValueError):
    """A model file, checkpoint or published weight file that cannot be used."""


class MissingExtraError(HFDiffError, ImportError):
    """An optional dependency is needed and not installed."""


class ResourceError(HFDiffError, RuntimeError):
    """Memory, disk, device or network did not suffice."""


def some_of(names: list[str], limit: int = 5) -> str:
    """The first few of a list of names and a count of the rest, for messages."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
