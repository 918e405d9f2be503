"""SIGTERM and Ctrl-C as a wish to stop, which the loop reads between two steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from hfdiff.core.errors import HFDiffError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StoppedError(HFDiffError):
    """A run was asked to stop; its state is saved, and ``--resume`` goes on from there.

    Args:
        step: Steps done and saved.
        signal_number: What asked, such as ``signal.SIGTERM``; None: another part of the program.
    """

    def __init__(self, step: int, signal_number: int | None) -> None:
        super().__init__(f"stopped after step {step}, which is saved")
        self.step = step
        self.signal_number = signal_number


class _BrokenOffError(Exception):
    """Leaves a block that may be broken off."""


class StopWish:
    """Whether the run shall end, and by which signal it was asked.

    The first Ctrl-C lets the current step end; the second one ends the process as usual.
    """

    def __init__(self) -> None:
        self.is_wished = False
        self.signal_number: int | None = None
        self._may_break = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Receive signals meanwhile, where this is the thread that gets them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def breakable(self) -> Iterator[None]:
        """A block that changes nothing of the run and is left at once when a signal comes."""
        self._may_break = True
        try:
            yield
        except _BrokenOffError:
            pass
        finally:
            self._may_break = False

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.is_wished, self.signal_number = True, number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._may_break:
            self._may_break = False
            raise _BrokenOffError
