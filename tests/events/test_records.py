"""Challenges and verdicts: kept by who may, in events of their own kinds, all or none."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands_support import Keys, Loom, commands_in, journal_of
from events_support import MAKER, ipc_settings

from glass_edge.config.events import Role
from glass_edge.errors import InputError
from glass_edge.events.commands import keep_challenge, keep_verdicts
from glass_edge.events.errors import CommandRefusedError
from glass_edge.events.payloads_records import Challenge, ChallengeFigures, Opinion, Verdict, VerdictFigures
from glass_edge.events.publisher import Publisher
from glass_edge.fabric.fault_name import FaultName

FIGURES = ChallengeFigures(
    subject="strip", name="A", shown=29, found=29, extra=2, detection_low=0.9, wanted=0.9, is_passed=True
)


def _verdict(seq: int, opinion: Opinion = Opinion.FALSE) -> VerdictFigures:
    return VerdictFigures(defect_roll_id="r", defect_id=1, defect_seq=seq, opinion=opinion, fault=FaultName.SLUB)


def test_a_challenge_is_kept_with_who_took_it_and_the_station_hears_of_it(short_path: Path) -> None:
    loom = Loom()
    with Publisher(ipc_settings(short_path), "loom1", loom) as publisher:
        publisher.emit(MAKER.roll_start())
        reply = keep_challenge(publisher.request_endpoint, FIGURES, operator="K. Weber")
    *_, last = journal_of(short_path / "journal.db")
    assert isinstance(last.payload, Challenge)
    assert (last.seq, last.payload.client, last.payload.operator) == (reply.seq, "local", "K. Weber")
    assert last.payload.model_dump(include=set(ChallengeFigures.model_fields)) == FIGURES.model_dump()
    assert loom.told == [("challenge", True)]


def test_verdicts_are_kept_all_or_none(short_path: Path) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([MAKER.roll_start(), MAKER.stop_request("s1", "hole")])
        reply = keep_verdicts(publisher.request_endpoint, [_verdict(1), _verdict(2, Opinion.REAL)], operator="Ida")
        assert reply.seq == 3
        with pytest.raises(CommandRefusedError, match="event 99 did not happen yet"):
            keep_verdicts(publisher.request_endpoint, [_verdict(1), _verdict(99)])
        with pytest.raises(InputError, match="takes no such command"):
            keep_verdicts(publisher.request_endpoint, [])
    kept = [event.payload for event in journal_of(short_path / "journal.db") if isinstance(event.payload, Verdict)]
    assert [(one.defect_seq, one.opinion, one.operator) for one in kept] == [(1, "false", "Ida"), (2, "real", "Ida")]


def test_an_observer_keeps_no_records(short_path: Path) -> None:
    keys = Keys(short_path)
    viewer = keys.client("viewer", Role.OBSERVER)
    with Publisher(keys.settings(), "loom1", Loom()) as publisher:
        publisher.emit(MAKER.roll_start())
        for keep in (
            lambda: keep_challenge(publisher.request_endpoint, FIGURES, keys=viewer),
            lambda: keep_verdicts(publisher.request_endpoint, [_verdict(1)], keys=viewer),
        ):
            with pytest.raises(CommandRefusedError, match="needs the role controller"):
                keep()
    events = journal_of(short_path / "journal.db")
    assert [command.command for command in commands_in(events)] == ["challenge", "verdict"]
    assert not [event for event in events if isinstance(event.payload, Challenge | Verdict)]
