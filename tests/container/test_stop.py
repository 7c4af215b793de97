import os
import signal

import pytest

from optml.container.stop import Stop, Stopped


@pytest.fixture
def stop() -> Stop:
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    made = Stop()
    made.install()
    yield made  # type: ignore[misc]
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_flag(stop: Stop, number: signal.Signals) -> None:
    assert not stop.requested
    os.kill(os.getpid(), number)
    assert stop.requested
    assert stop.signal == number


def test_a_signal_interrupts_while_there_is_nothing_to_save(stop: Stop) -> None:
    with pytest.raises(Stopped), stop.at_once():
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_came_before_interrupts_too(stop: Stop) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Stopped), stop.at_once():
        raise AssertionError
