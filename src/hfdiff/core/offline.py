"""Whether the user forbade any use of the network."""

import os


def is_offline() -> bool:
    """True where HFDIFF_OFFLINE is set to anything but nothing or 0."""
    return os.environ.get("HFDIFF_OFFLINE", "") not in ("", "0")
