"""A strip's marks are found wherever it lay, misses are counted, and chance shows nothing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.calibration.challenge import MOST_REPORTS, judge, marks_needed
from glass_edge.config.challenge import MarkSettings, StripSettings, load_strip
from glass_edge.errors import InputError


def _strip(marks: int, at_least: float = 0.9, reach_mm: float = 10.0) -> StripSettings:
    """A zigzag with uneven steps, so that it fits at one place only."""
    places = [(60.0 * number + 7.0 * (number * number % 5), 40.0 * (number % 3)) for number in range(marks)]
    return StripSettings(
        strip="s",
        marks=tuple(MarkSettings(along_mm=a, across_mm=b) for a, b in places),
        reach_mm=reach_mm,
        at_least=at_least,
    )


@pytest.mark.parametrize(("marks", "at_least"), [(29, 0.9), (59, 0.95)])
def test_all_of_29_show_90_percent_and_all_of_59_show_95(marks: int, at_least: float) -> None:
    strip = _strip(marks, at_least)
    assert marks_needed(strip) == marks
    result = judge(strip, [(mark.along_mm + 5000, mark.across_mm + 321) for mark in strip.marks])
    assert result.is_passed
    assert result.detection_low == pytest.approx(0.05 ** (1 / marks))
    assert result.offset_mm == pytest.approx((5000, 321))
    one_less = judge(strip, [(mark.along_mm, mark.across_mm) for mark in strip.marks[1:]])
    assert (one_less.missed, one_less.is_passed) == ((0,), False)


@given(
    missed=st.sets(st.integers(0, 28), max_size=10),
    offset=st.tuples(st.floats(-1e5, 1e5), st.floats(-500, 500)),
    seed=st.integers(0, 1000),
    extra=st.integers(0, 4),
)
def test_misses_are_counted_wherever_the_strip_lay(
    missed: set[int], offset: tuple[float, float], seed: int, extra: int
) -> None:
    strip = _strip(29)
    random = np.random.default_rng(seed)
    reported = [
        (mark.along_mm + offset[0] + random.uniform(-3, 3), mark.across_mm + offset[1] + random.uniform(-3, 3))
        for number, mark in enumerate(strip.marks)
        if number not in missed
    ]
    reported += [(offset[0] - 500 - 100 * number, offset[1]) for number in range(extra)]
    random.shuffle(reported)
    result = judge(strip, reported)
    assert set(result.missed) == missed
    assert (result.found, result.extra, result.by_chance) == (29 - len(missed), extra, 0.0)
    assert result.is_passed is (not missed)


def test_two_defects_at_one_mark_count_once() -> None:
    strip = _strip(29)
    places = [(mark.along_mm, mark.across_mm) for mark in strip.marks]
    result = judge(strip, [*places[1:], (places[1][0] + 1, places[1][1])])
    assert (result.missed, result.extra) == ((0,), 1)


def test_among_many_alarms_nothing_is_shown() -> None:
    strip = _strip(29)
    random = np.random.default_rng(3)
    marks = [(mark.along_mm, mark.across_mm) for mark in strip.marks]
    alarms = [(random.uniform(0, 1700), random.uniform(0, 80)) for _ in range(200)]
    result = judge(strip, marks + alarms)
    assert not result.is_clear
    assert not result.is_passed
    inside = sum(-10 <= a <= max(m[0] for m in marks) + 10 for a, _ in alarms)
    area = (max(m[0] for m in marks) + 20) * 100
    assert result.by_chance == pytest.approx(1 - math.exp(-inside * math.pi * 100 / area), rel=0.05)


def test_no_report_at_all_is_a_failed_challenge() -> None:
    result = judge(_strip(29), [])
    assert (result.found, result.detection_low, result.offset_mm, result.is_passed) == (0, 0.0, None, False)


def test_too_many_reports_are_refused() -> None:
    with pytest.raises(InputError, match="lead it past on clean cloth"):
        judge(_strip(29), [(0.0, float(number)) for number in range(MOST_REPORTS + 1)])


def test_a_strip_is_read_and_two_marks_at_one_place_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "strip.toml"
    path.write_text('strip = "A"\nmarks = [{along_mm = 0, across_mm = 1}, {along_mm = 5, across_mm = 1}]\n')
    assert load_strip(path).marks[1].along_mm == 5
    path.write_text('strip = "A"\nmarks = [{along_mm = 0, across_mm = 1}, {along_mm = 0, across_mm = 1}]\n')
    with pytest.raises(InputError, match="two marks are at along 0 mm, across 1 mm"):
        load_strip(path)
