from __future__ import annotations

import pytest
import structlog

from glass_edge.adapters.repeated_log import RepeatedLog


def test_a_repeated_line_comes_once_a_minute_with_the_count_of_those_held_back() -> None:
    now_s = 1000.0
    log = RepeatedLog("a", lambda: now_s)
    with structlog.testing.capture_logs() as lines:
        for now_s in range(1000, 1150):
            log.tell("away", "server away")
            if now_s == 1003:
                log.tell("full", "disk full")
    told = [(line["event"], line.get("held_back", 0)) for line in lines]
    assert told == [("server away", 0), ("disk full", 0), ("server away", 59), ("server away", 59)]


@pytest.mark.parametrize("keys", [99, 1000])
def test_the_memory_is_bounded(keys: int) -> None:
    log = RepeatedLog("a", lambda: 5.0)
    with structlog.testing.capture_logs() as lines:
        assert all(log.tell(f"key {number}", "x") for number in range(keys))
        assert not log.tell(f"key {keys - 1}", "x")
    assert len(lines) == keys
    assert len(log._seen) <= 100
