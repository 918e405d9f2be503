"""Ctrl-C and a termination by the system end a command alike: a sentence, and exit code 130."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import typer


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM raises KeyboardInterrupt as Ctrl-C does; what nobody catches ends in 130."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted before anything was written", err=True)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (signal's own)
    raise KeyboardInterrupt
