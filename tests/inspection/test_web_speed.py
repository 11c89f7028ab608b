"""The speed of the web against a web whose speed is known."""

from __future__ import annotations

import pytest

from glass_edge.inspection.web_speed import WebSpeed


def test_the_speed_is_that_of_the_last_seconds_and_0_once_the_web_stands() -> None:
    speed = WebSpeed(mm_per_line=0.2, window_s=10.0)
    told = [speed.m_per_min(float(second), min(second, 30) * 100) for second in range(60)]
    assert told[0] == 0.0
    assert told[1:31] == pytest.approx([100 * 0.2 * 0.06] * 30)  # 100 lines a second of 0.2 mm
    assert told[35] == pytest.approx(0.6, rel=0.2)  # half of the last ten seconds
    assert told[41:] == [0.0] * 19


def test_a_change_of_speed_is_told_within_the_window() -> None:
    speed = WebSpeed(1.0, window_s=5.0)
    lines, last = 0, 0.0
    for second in range(30):
        lines += 10 if second < 15 else 40
        last = speed.m_per_min(float(second), lines)
    assert last == pytest.approx(40 * 0.06)
