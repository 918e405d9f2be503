"""What was made in an output folder, from what and by what: the file behind ``--resume``.

One hidden file of JSON lines in the folder, appended to before an output takes its name. So after a
kill at any moment an output that is there is known to be whole and whose it is. The same file holds
locks, one byte for each output, that tell processes on one folder who is at work on what; the
system lets them go when a process ends, however it ends.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from hfdiff.core.errors import ImageError
from hfdiff.core.files import sha256_of
from hfdiff.imaging.files import read_picture

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows: two processes may do a picture twice, each replaces it whole
    fcntl = None

LEDGER_NAME = ".hfdiff.jsonl"
Verdict = Literal["made", "stale", "foreign"]
_LOCKS = 1 << 40  # where locks begin: far behind any line
_PRESENCE = _LOCKS - 1  # the byte that every process on the folder shares
_LONGEST = 1 << 16  # bytes of a line
_HEADS = (16, 256, 4096)  # how many first bytes of an output are known by a hash
_SCRATCH = re.compile(r"\.hfdiff-[0-9a-f]{16}(\.\w+)?")


class Ledger:
    """The ledger of one output folder, open for as long as outputs are made there.

    Args:
        root: The folder; made where it is not there.

    Raises:
        ImageError: when it cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._path = root / LEDGER_NAME
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._read = 0
        self._began = time.time()
        try:
            root.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            self._file = os.open(self._path, flags, 0o666)
        except OSError as error:
            raise ImageError(f"cannot write {self._path}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            os.close(self._file)
            raise ImageError(f"{self._path} is no regular file")
        self._lock(_PRESENCE, exclusive=False, wait=True)

    @contextlib.contextmanager
    def claimed(self, target: Path, *, wait: bool) -> Iterator[bool]:
        """Whether an output is this process's to make; with ``wait`` it is in the end."""
        place = _LOCKS + int(hashlib.sha256(self._name(target).encode()).hexdigest()[:12], 16)
        is_mine = self._lock(place, exclusive=True, wait=wait)
        try:
            yield is_mine
        finally:
            if is_mine:
                self._unlock(place)

    def judge(self, source: Path, target: Path, made_by: Mapping[str, Any]) -> Verdict:
        """What an output that is there is.

        Args:
            source: The input that it would be made of.
            target: The output.
            made_by: What its bytes would follow from besides the source: model, options.

        Returns:
            ``made``: what would be made now; ``stale``: made here from another source or by other
            options, or cut off since; ``foreign``: not made here, or changed since.
        """
        self._catch_up()
        entries = self._entries.get(self._name(target), [])
        for entry in reversed(entries):
            if _is_file_of(entry, target):
                same = entry.get("made_by") == made_by
                return "made" if same and entry.get("source") == sha256_of(source) else "stale"
        return "stale" if _is_cut_off(target, entries) else "foreign"

    def note(
        self, source: Path, target: Path, made_by: Mapping[str, Any], *, scratch: Path
    ) -> None:
        """State that a finished file, ``scratch``, is about to take the name of an output."""
        state = scratch.stat()
        entry = {
            "output": os.fspath(target.relative_to(self.root)),
            "source": sha256_of(source),
            "sha256": sha256_of(scratch),
            "size": state.st_size,
            "mtime_ns": state.st_mtime_ns,
            "heads": _heads_of(scratch),
            "made_by": made_by,
        }
        # A line of its own even if another process died in the middle of one.
        os.write(self._file, f"\n{json.dumps(entry)}\n".encode())
        os.fsync(self._file)

    def close(self, *, folders: Iterable[Path] | None = None) -> None:
        """End the work here; remove what killed processes left half written in some folders.

        Only where no other process is at work, and only what is older than this ledger's work.
        """
        if folders is not None and self._lock(_PRESENCE, exclusive=True, wait=False):
            for folder in folders:
                _remove_scratch(folder, self._began)
        os.close(self._file)

    def _name(self, target: Path) -> str:
        return ascii(os.fspath(target.relative_to(self.root)))

    def _catch_up(self) -> None:
        """Take in what was appended since, by this process or another."""
        # Not by another descriptor: closing that would end all locks of this process on the file.
        size = os.fstat(self._file).st_size
        os.lseek(self._file, self._read, os.SEEK_SET)
        text = os.read(self._file, max(0, size - self._read))
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for entry in _entries_in(whole.splitlines()):
            self._entries.setdefault(ascii(entry["output"]), []).append(entry)

    def _lock(self, place: int, *, exclusive: bool, wait: bool) -> bool:
        if fcntl is None:
            return True
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.lockf(self._file, kind | (0 if wait else fcntl.LOCK_NB), 1, place)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # a file system without locks: as on Windows
            return True
        return True

    def _unlock(self, place: int) -> None:
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)


def _is_file_of(entry: Mapping[str, Any], target: Path) -> bool:
    """Whether a file is the one that an entry speaks of; its time spares reading it."""
    state = target.stat()
    if state.st_size != entry.get("size"):
        return False
    return state.st_mtime_ns == entry.get("mtime_ns") or sha256_of(target) == entry.get("sha256")


def _is_cut_off(target: Path, entries: Collection[Mapping[str, Any]]) -> bool:
    """Whether a file is what a full disk leaves of an output: the beginning of it, or nothing.

    What is amiss in another way, or of a kind that hfdiff does not read, may be somebody's work.
    """
    if not any(_begins_as(entry, target) for entry in entries):
        return False
    try:
        read_picture(target)
    except ImageError:
        return True
    return False


def _begins_as(entry: Mapping[str, Any], target: Path) -> bool:
    """Whether a file is shorter than the one that an entry speaks of, and begins as that."""
    size = target.stat().st_size
    if size >= entry["size"]:
        return False
    own, stated = _heads_of(target), entry.get("heads")
    if not own:
        return size == 0
    longest = list(own)[-1]
    return isinstance(stated, dict) and stated.get(longest) == own[longest]


def _heads_of(path: Path) -> dict[str, str]:
    """Hashes of a file's first bytes, by how many these are, as far as it has so many."""
    with path.open("rb") as file:
        head = file.read(_HEADS[-1])
    return {
        str(length): hashlib.sha256(head[:length]).hexdigest()[:16]
        for length in _HEADS
        if length <= len(head)
    }


def recorded_outputs(folder: Path) -> dict[Path, set[int]]:
    """What the ledger in a folder, if there is one, says that was made there: paths and sizes.

    The folder is somebody's, and the file may be anything.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    made: dict[Path, set[int]] = {}
    with contextlib.suppress(OSError), os.fdopen(os.open(folder / LEDGER_NAME, flags), "rb") as it:
        if stat.S_ISREG(os.fstat(it.fileno()).st_mode):
            for entry in _entries_in(iter(lambda: it.readline(_LONGEST), b"")):
                made.setdefault(folder / entry["output"], set()).add(entry["size"])
    return made


def _entries_in(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Lines that are whole; another process may have died in the middle of one."""
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry["output"], str) and isinstance(entry["size"], int):
                yield entry


def _remove_scratch(folder: Path, before: float) -> None:
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if _SCRATCH.fullmatch(path.name) and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
