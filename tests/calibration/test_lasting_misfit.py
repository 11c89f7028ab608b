"""Alarms that last, against a plain reading of the whole history."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glass_edge.calibration.fit_check import Alarm, Finding
from glass_edge.calibration.lasting_misfit import LastingMisfit

TWO = (Alarm.FOCUS, Alarm.SCALE_ALONG)


def finding(alarm: Alarm) -> Finding:
    return Finding(alarm, 1.0, 0.5, f"{alarm} is off")


def plain(history: list[bool], checks: int, misfits: int) -> list[str]:
    """What is told after each check: the window begins anew once an alarm is over."""
    told, lasts, since = [], False, 0
    for at in range(len(history)):
        word = ""
        if lasts and at + 1 - misfits >= since and not any(history[at + 1 - misfits : at + 1]):
            lasts, word, since = False, "over", at + 1
        elif not lasts and history[at] and sum(history[max(since, at + 1 - checks) : at + 1]) >= misfits:
            lasts, word, since = True, "began", at + 1
        told.append(word)
    return told


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60),
    st.integers(1, 6).flatmap(lambda checks: st.tuples(st.just(checks), st.integers(1, checks))),
)
def test_each_alarm_begins_and_is_over_in_turn(raised: list[tuple[bool, bool]], window: tuple[int, int]) -> None:
    checks, misfits = window
    lasting = LastingMisfit(checks, misfits)
    told: dict[Alarm, list[str]] = {alarm: [] for alarm in TWO}
    for both in raised:
        turns = lasting.add([finding(alarm) for alarm, is_raised in zip(TWO, both, strict=True) if is_raised])
        for alarm in TWO:
            own = [turn for turn in turns if turn.alarm is alarm]
            assert len(own) <= 1
            told[alarm].append("" if not own else "over" if own[0].finding is None else "began")
    for index, alarm in enumerate(TWO):
        assert told[alarm] == plain([both[index] for both in raised], checks, misfits)
        spoken = [word for word in told[alarm] if word]
        assert spoken == ["began", "over"] * (len(spoken) // 2) + ["began"] * (len(spoken) % 2)
        assert (alarm in lasting.lasting) == (len(spoken) % 2 == 1)


def test_what_was_seen_and_how_often_is_told() -> None:
    lasting = LastingMisfit(5, 3)
    history = [[finding(Alarm.FOCUS)], [], [finding(Alarm.FOCUS)]]
    assert [turn for findings in history for turn in lasting.add(findings)] == []
    (turn,) = lasting.add([finding(Alarm.FOCUS)])
    assert (turn.alarm, turn.finding, turn.n_misfits, turn.n_checks) == (Alarm.FOCUS, finding(Alarm.FOCUS), 3, 4)
