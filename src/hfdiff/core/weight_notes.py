"""What a .safetensors file says besides its tensors. No torch here: planning needs none."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from hfdiff.core.errors import CheckpointError


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a .safetensors file, without reading the tensors.

    Raises:
        CheckpointError: when the file is missing, cut off, or not safetensors.
    """
    if not path.is_file():
        raise CheckpointError(f"model file {path} does not exist")
    try:
        with safe_open(path, framework="numpy") as archive:
            return dict(archive.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a whole .safetensors file ({error})",
            hint="published .pth files become model files by `hfdiff convert`",
        ) from error
