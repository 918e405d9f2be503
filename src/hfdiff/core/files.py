"""Files that are whole or absent: write to a scratch name beside the target, sync, rename."""

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a scratch path in the target's folder; on success it becomes ``path`` at once.

    On any exception (KeyboardInterrupt too) the scratch file is removed and an existing ``path``
    stays as it was. The scratch name ends in the target's suffix, so writers that look at the
    suffix choose the same format.
    """
    scratch = path.with_name(f".hfdiff-{secrets.token_hex(8)}{path.suffix}")
    # The kernel applies the umask; reading it would mean setting it, for all threads at once.
    os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    rights = stat.S_IMODE(scratch.stat().st_mode)
    try:
        yield scratch
        _sync(scratch)
        scratch.chmod(rights)  # a writer may have put a file of its own, and private, in its place
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
