"""The one place that looks at hardware: names of devices and dtypes become torch's own."""

import ctypes

import torch

from hfdiff.core.errors import SettingsError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(name: str = "auto") -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` into a device that is there.

    Raises:
        SettingsError: when the name is no device, or the device is not on this machine.
    """
    if name == "auto":
        return torch.device(_best())
    hint = "use auto, cpu, cuda:0 or mps"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"{name!r} is no device", hint=hint) from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise SettingsError(f"device {name} is not one that hfdiff runs on", hint=hint)
    if device.type == "cuda" and not 0 <= (device.index or 0) < torch.cuda.device_count():
        raise SettingsError(f"device {name} is not on this machine", hint="use --device cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise SettingsError("device mps is not on this machine", hint="use --device cpu")
    return device


def resolve_dtype(name: str) -> torch.dtype:
    """Turn ``float32``, ``bfloat16`` or ``float16`` into torch's dtype.

    Raises:
        SettingsError: for any other name.
    """
    if name not in DTYPES:
        raise SettingsError(f"dtype must be one of {', '.join(DTYPES)}, got {name!r}")
    return DTYPES[name]


_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the machine or of a device, did not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _MEMORY_WORDS)


def release_memory(device: torch.device) -> None:
    """Give memory that is kept for later back: to the device, and to the system where it can be.

    Buffers of many sizes leave a heap with holes, which otherwise stays as large as it ever was.
    """
    _trim_heap()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _trim_heap() -> None:
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # another C library than glibc
        return


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
