"""Being asked to stop: by signals, by the keyboard, by a time limit."""

import os
import signal
import threading

import pytest

from modelyard.core.errors import UsageError
from modelyard.train.stopping import Stopping, listening, parse_duration


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("90", 90),
        ("90s", 90),
        ("45m", 2700),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1d", 86400),
        ("0.5h", 1800),
        ("1 h", 3600),
    ],
)
def test_durations_are_read_as_people_write_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "2w", "-5", "0", "0m", "h", "1:30", "nan"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="not a duration"):
        parse_duration(text)


def test_a_time_limit_asks_when_it_is_over():
    assert Stopping(3600).reason == ""
    assert "time limit of 1e-09 s" in Stopping(1e-9).reason


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_while_held_and_interrupts_otherwise(number):
    stopping = Stopping()
    with listening(stopping), stopping.held():
        os.kill(os.getpid(), number)
        assert stopping.reason
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    stopping = Stopping()
    with pytest.raises(KeyboardInterrupt), listening(stopping):
        os.kill(os.getpid(), number)


def test_the_second_interrupt_from_the_keyboard_does_not_wait_and_a_second_sigterm_does():
    stopping = Stopping()
    with listening(stopping), stopping.held():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_thread_leaves_the_process_s_signals_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with listening(Stopping()):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
