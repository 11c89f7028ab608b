"""A challenge becomes due, is told once, and what was taken is known over restarts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from glass_edge.config.challenge import ChallengeSettings
from glass_edge.events.journal import Journal
from glass_edge.events.payloads_records import Challenge
from glass_edge.events.schema import Draft
from glass_edge.inspection.sink import Fault, Progress
from glass_edge.service.challenge_watch import ChallengeSink, ChallengeWatch


class _Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def hours_pass(self, hours: float) -> None:
        self.now += timedelta(hours=hours)


def _draft(is_passed: bool) -> Draft:
    payload = Challenge(
        subject="strip", name="A", shown=29, found=29 if is_passed else 28, detection_low=0.9 if is_passed else 0.84,
        wanted=0.9, is_passed=is_passed, client="local", operator="Ida",
    )  # fmt: skip
    return Draft(kind="challenge", is_simulated=False, is_partial=False, roll_id=None, style=None, payload=payload)


def test_nobody_asks_and_nothing_is_due() -> None:
    watch = ChallengeWatch(ChallengeSettings(policy="block"))
    assert (watch.problem(), watch.news(), watch.refusal()) == (None, None, None)


def test_a_challenge_becomes_due_is_told_once_and_is_over_when_it_was_passed() -> None:
    clock = _Clock()
    watch = ChallengeWatch(ChallengeSettings(every_h=8), clock)
    told: list[Fault] = []
    sink = ChallengeSink(watch, told.append)
    sink.progress(Progress())
    sink.progress(Progress())
    assert [fault.kind for fault in told] == ["challenge_due"]
    watch.take(is_passed=True)
    sink.progress(Progress())
    clock.hours_pass(8)
    sink.progress(Progress())
    assert len(told) == 1
    clock.hours_pass(0.1)
    sink.progress(Progress())
    sink.progress(Progress())
    assert [fault.kind for fault in told] == ["challenge_due"] * 2
    assert "8.1 h old, and 8 h are allowed" in told[1].message
    watch.take(is_passed=False)
    sink.progress(Progress())
    assert told[2].kind == "challenge_failed"
    assert watch.refusal() is None


def test_with_the_policy_block_no_roll_begins_until_it_is_passed() -> None:
    watch = ChallengeWatch(ChallengeSettings(every_h=8, policy="block"), _Clock())
    assert "no challenge was taken yet" in str(watch.refusal())
    watch.take(is_passed=False)
    assert "was not passed" in str(watch.refusal())
    watch.take(is_passed=True)
    assert watch.refusal() is None


def test_what_was_taken_is_known_over_restarts(tmp_path: Path) -> None:
    clock = _Clock()
    with Journal(tmp_path / "j", "loom-1") as journal:
        journal.append(_draft(is_passed=True))
        last = journal.append(_draft(is_passed=False))
        clock.now = last.stamp_utc
        watch = ChallengeWatch(ChallengeSettings(every_h=8), clock)
        with journal.reader() as reader:
            watch.recall(reader)
        problem = watch.problem()
        assert problem is not None
        assert problem.kind == "challenge_failed"
        clock.now = journal.append(_draft(is_passed=True)).stamp_utc
        with journal.reader() as reader:
            watch.recall(reader)
    assert watch.problem() is None
    clock.hours_pass(-1)
    changed = watch.problem()
    assert changed is not None
    assert "the clock was changed" in changed.message
