"""Where a model named by a user is: a path, a name in the box, or a repository on a hub.

No torch here, so that `hfdiff models` answers at once.
"""

from importlib import resources
from pathlib import Path

from hfdiff.core.errors import CheckpointError, MissingExtraError
from hfdiff.core.offline import is_offline

DEFAULT_MODEL = "lite"


def bundled_models() -> dict[str, Path]:
    """Name and file of every model in the box."""
    folder = Path(str(resources.files("hfdiff.model") / "bundled"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find_model(model: str | Path | None = None) -> Path:
    """The model file or folder that a name means; None is the default model in the box.

    Raises:
        CheckpointError: when nothing has that name.
        MissingExtraError: for a hub id without the hub extra.
    """
    name = DEFAULT_MODEL if model is None else str(model)
    path = Path(name)
    if path.exists():
        return path
    boxed = bundled_models()
    if name in boxed:
        return boxed[name]
    if path.suffix or name.count("/") != 1 or name.startswith((".", "/", "~")):
        known = ", ".join(boxed)
        raise CheckpointError(
            f"no model {name!r}: neither a file or folder nor a name in the box ({known})"
        )
    return _from_hub(name)


def _from_hub(repository: str) -> Path:
    if is_offline():
        raise CheckpointError(
            f"model {repository!r} is not on this machine and HFDIFF_OFFLINE=1 forbids the network"
        )
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise MissingExtraError(
            f"model {repository!r} would come from the hub, which needs an extra",
            hint="pip install 'hfdiff[hub]'",
        ) from error
    try:
        wanted = ["config.json", "model.safetensors"]
        return Path(snapshot_download(repository, allow_patterns=wanted))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise CheckpointError(
            f"model {repository!r} cannot be had from the hub: {error}"
        ) from error
