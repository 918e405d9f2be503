"""Memory of this process, as the system counts it."""

import sys


def peak_bytes() -> int:
    """Most memory that this process has held at once; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
