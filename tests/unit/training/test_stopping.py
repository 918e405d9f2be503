import os
import signal
import threading

import pytest

from hfdiff.training.stopping import StopWish


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_becomes_a_wish(number):
    wish = StopWish()

    with wish.listening():
        assert not wish.is_wished
        send(number)

    assert wish.is_wished
    assert wish.signal_number == number


def test_handlers_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    with StopWish().listening():
        pass

    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_the_second_ctrl_c_ends_at_once():
    wish = StopWish()

    with wish.listening():
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_a_second_sigterm_changes_nothing():
    wish = StopWish()

    with wish.listening():
        send(signal.SIGTERM)
        send(signal.SIGTERM)

    assert wish.is_wished


def test_a_block_that_may_be_broken_off_is_left_at_once():
    wish, done = StopWish(), []

    with wish.listening():
        with wish.breakable():
            send(signal.SIGTERM)
            done.append("rest of the block")
        done.append("after it")

    assert done == ["after it"]
    assert wish.is_wished


def test_other_blocks_run_to_their_end():
    wish, done = StopWish(), []

    with wish.listening():
        with wish.breakable():
            pass
        send(signal.SIGTERM)
        done.append("rest")

    assert done == ["rest"]


def test_other_threads_are_left_alone():
    """Python gives signals to the main thread only, and refuses handlers elsewhere."""
    wish, failures = StopWish(), []

    def run():
        try:
            with wish.listening():
                pass
        except ValueError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert failures == []
