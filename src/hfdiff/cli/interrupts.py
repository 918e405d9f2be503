"""Ctrl-C, a termination by the system and a closed terminal end a command alike.

They end in a sentence and exit code 130.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import typer

_NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
_ENDINGS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise KeyboardInterrupt as Ctrl-C does; uncaught it ends in 130.

    What is ignored from the start, as SIGHUP is under nohup, stays ignored. After the first one all
    are ignored, for good: a closed terminal sends two, and the command is ending.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDINGS}
    for number in _ENDINGS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            typer.echo("interrupted before anything was written", err=True)
        raise typer.Exit(130) from None
    finally:
        for number in _ENDINGS:
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, before[number] or signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (signal's own)
    for ending in _ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt
