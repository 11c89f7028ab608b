from __future__ import annotations

import os
import signal

import pytest

from glass_edge.service.signals import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupt_insists(number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        assert not stop.asked.is_set()
        os.kill(os.getpid(), number)
        assert stop.asked.wait(5)
        assert stop.signal_number == number
        os.kill(os.getpid(), signal.SIGTERM)  # asks again, no more
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
