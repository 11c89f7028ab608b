"""A view against the roll's own totals and the station's snapshot, and its file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from adapters_support import LINES, SCALE, idle_draft, journaled, roll_drafts
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.adapters.station_view import StationView, ViewFile, first_view, view_of_snapshot
from glass_edge.errors import InputError
from glass_edge.events.payloads import Command, RollEnd, Status, StopAck, StopRequest
from glass_edge.events.schema import Draft, Event
from glass_edge.events.snapshot import StateFold


def _events(path: Path, drafts: list[Draft]) -> list[Event]:
    return [received.event for received in journaled(path, drafts)]


def _folded(events: list[Event]) -> StationView:
    view = first_view(events[0])
    for event in events:
        view = view.after(event)
    return view


def _stop(request_id: str) -> Draft:
    payload = StopRequest(request_id=request_id, reason="a hole")
    return Draft(kind="stop.request", is_simulated=True, is_partial=True, roll_id="r", style="s", payload=payload)


def _ack(request_id: str) -> Draft:
    payload = StopAck(request_id=request_id, accepted=True, source="plc")
    return Draft(kind="stop.ack", is_simulated=True, is_partial=True, roll_id="r", style="s", payload=payload)


def test_at_the_end_of_a_roll_the_view_says_what_the_roll_end_says(tmp_path: Path) -> None:
    events = _events(tmp_path / "j", roll_drafts("a", defects=3))
    before, after = _folded(events[:-1]), _folded(events)
    end = events[-1].payload
    assert isinstance(end, RollEnd)
    assert before.roll is not None
    assert before.roll.is_open
    assert before.roll.defects == end.defects == 3
    assert before.roll.missed_m == pytest.approx(end.missed_m)
    assert after.roll is not None
    assert not after.roll.is_open
    assert (after.roll.woven_m, after.roll.defects) == (end.woven_m, end.defects)
    assert after.last_defect is not None
    assert after.last_defect.defect_id == 3


def test_a_defect_that_grew_together_with_another_is_no_defect_more(tmp_path: Path) -> None:
    drafts = roll_drafts("a", defects=2)
    last = drafts[-3]  # the end of the second
    merged = last.model_copy(update={"payload": last.payload.model_copy(update={"merged_into": 1})})
    view = _folded(_events(tmp_path / "j", [*drafts[:-3], merged]))
    assert view.roll is not None
    assert view.roll.defects == 1


def test_metres_of_the_open_roll_follow_the_status(tmp_path: Path) -> None:
    drafts = roll_drafts("a", defects=1)
    status = idle_draft(lines=LINES)
    on_roll = status.model_copy(update={"roll_id": "a", "style": "twill"})
    view = _folded(_events(tmp_path / "j", [*drafts[:2], on_roll]))
    assert view.roll is not None
    assert view.roll.woven_m == pytest.approx(LINES * SCALE.mm_per_line / 1000)


def _status(**fields: object) -> Draft:
    payload = Status.model_validate({"state": "ContinuousExecution"} | fields)
    return Draft(kind="status", is_simulated=True, is_partial=True, roll_id="a", style="twill", payload=payload)


def test_figures_and_a_fault_outlive_a_status_without_them(tmp_path: Path) -> None:
    figures = _status(web_m_per_min=12.0, alarms_per_100m=1.5)
    fault = _status(fault_code="lamp", message="clean it")
    events = _events(tmp_path / "j", [*roll_drafts("a")[:1], figures, fault, _status(), *roll_drafts("b")[:1]])
    view = _folded(events[:4])
    assert view.status is not None
    assert (view.status.fault_code, view.status.alarms_per_100m) == (None, None)
    assert (view.figures, view.last_fault, view.last_fault_seq) == (events[1].payload, events[2].payload, 3)
    assert _folded(events).figures is None  # they were of the roll before


def test_a_bypass_is_known_from_its_command_and_from_the_state(tmp_path: Path) -> None:
    def bypass(is_on: bool, accepted: bool) -> Draft:
        payload = Command(command="bypass", client="hmi", role="controller", accepted=accepted, is_on=is_on)
        return Draft(kind="command", is_simulated=True, is_partial=False, roll_id=None, style=None, payload=payload)

    on, refused = bypass(True, True), bypass(False, False)
    events = _events(tmp_path / "j", [idle_draft(), on, refused, _status(is_bypassed=True), bypass(False, True)])
    assert [_folded(events[: count + 1]).is_bypassed for count in range(5)] == [False, True, True, True, False]


def test_a_stop_waits_until_its_own_acknowledgement(tmp_path: Path) -> None:
    events = _events(tmp_path / "j", [_stop("1"), _ack("other"), _ack("1")])
    waiting = _folded(events[:2]).stop
    assert waiting is not None
    assert (waiting.seq, waiting.request.request_id) == (1, "1")
    assert _folded(events).stop is None


@given(cut=st.integers(0, 30), again=st.integers(0, 10))
def test_events_that_come_again_change_nothing(cut: int, again: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    drafts = [*roll_drafts("a", 3), *roll_drafts("b", 2), _stop("1"), idle_draft()]
    events = _events(tmp_path_factory.mktemp("view") / "j", drafts)
    once = _folded(events)
    assert _folded([*events[:cut], *events[max(0, cut - again) : cut], *events[cut:]]) == once


def test_a_new_journal_begins_a_new_view(tmp_path: Path) -> None:
    old, new = _events(tmp_path / "a", roll_drafts("a")), _events(tmp_path / "b", [idle_draft()])
    view = _folded(old).after(new[0])
    assert (view.epoch, view.seq, view.roll) == (new[0].epoch, 1, None)


def test_the_view_of_a_snapshot_agrees_with_the_one_of_the_events(tmp_path: Path) -> None:
    events = _events(tmp_path / "j", [*roll_drafts("a", 2)[:3], _stop("1"), idle_draft()])
    fold = StateFold()
    for event in events:
        fold.apply(event)
    view = _folded(events)
    seen = view_of_snapshot(view.station, view.epoch, fold.snapshot(), datetime.now(UTC))
    assert view.roll is not None
    assert seen.roll is not None
    assert (seen.seq, seen.status, seen.engine) == (view.seq, view.status, view.engine)
    assert (seen.roll.roll_id, seen.roll.defects, seen.roll.started_utc) == ("a", 1, view.roll.started_utc)
    assert seen.stop is not None
    assert view.stop is not None
    assert seen.stop.request == view.stop.request


def test_the_file_gives_the_view_back(tmp_path: Path) -> None:
    file = ViewFile(tmp_path / "view.json")
    assert file.read() is None
    view = _folded(_events(tmp_path / "j", [*roll_drafts("a"), _stop("1")]))
    file.write(view)
    assert file.read() == view


@pytest.mark.parametrize("text", ["", "[]", '{"format_version": 2, "view": {}}', "{"])
def test_a_file_that_is_no_view_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "view.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"view\.json: is no view of a station"):
        ViewFile(path).read()
