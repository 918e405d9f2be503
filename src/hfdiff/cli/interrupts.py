"""Ctrl-C, a termination by the system and a closed terminal end a command alike.

They end in a sentence and exit code 130.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import typer

_ENDINGS = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise KeyboardInterrupt as Ctrl-C does; uncaught it ends in 130.

    What is ignored from the start, as SIGHUP is under nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _ENDINGS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    heeded = [number for number in numbers if before[number] is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted before anything was written", err=True)
        raise typer.Exit(130) from None
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (signal's own)
    raise KeyboardInterrupt
