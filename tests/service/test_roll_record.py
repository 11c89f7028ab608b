"""The record of a roll is what its events say, and finding it in a journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_support import defect, engine, maker, roll_end, stop_ack, told, whole_roll, write_journal

from glass_edge.errors import InputError
from glass_edge.events.journal import Journal
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.payloads import StationState
from glass_edge.events.schema import Draft, Kind
from glass_edge.service.report_rolls import record_of, rolls_of
from glass_edge.service.roll_record import RollRecord, RollState


def record(path: Path, drafts: Sequence[Draft], roll_id: str | None = None) -> RollRecord:
    with JournalReader(write_journal(path / "events.journal", drafts)) as reader:
        return record_of(reader, roll_id)


def test_a_defect_is_as_last_told_and_found_when_first_told(tmp_path: Path) -> None:
    make = maker()
    small, large = defect(1, 100, 200, 10, 5), defect(1, 100, 200, 60, 5)
    path = write_journal(tmp_path / "events.journal", [make.roll_start(), told(Kind.DEFECT_NEW, small, make)])
    with Journal(path, "loom1") as journal:
        journal.append_all([told(Kind.DEFECT_UPDATE, large, make)])
    with JournalReader(path) as reader:
        kept = record_of(reader, None)
        first = json.loads(reader.read(2, 1).events[0].document)["stamp_utc"]
    (one,) = kept.defects
    assert one.payload == large
    assert not one.has_ended
    assert one.found_utc.isoformat().replace("+00:00", "Z") == first


def test_stops_are_paired_with_their_answers(tmp_path: Path) -> None:
    make = maker()
    drafts = [
        make.roll_start(),
        make.stop_request("a", "hole", defect_id=3, along_mm=1200.0),
        stop_ack(make, "a"),
        make.stop_request("b", "dense"),
        make.stop_request("a", "hole again"),
        stop_ack(make, "a", accepted=False),
        roll_end(make, 10.0),
        stop_ack(maker(None), "b"),
    ]
    stops = record(tmp_path, drafts).stops
    answers = [(stop.request.reason, None if stop.ack is None else stop.ack.accepted) for stop in stops]
    assert answers == [("hole", True), ("dense", True), ("hole again", False)]
    assert all(stop.answered_utc is not None and stop.answered_utc >= stop.asked_utc for stop in stops)


def test_the_engine_before_the_roll_and_those_on_it_count_and_no_later_one(tmp_path: Path) -> None:
    make = maker()
    drafts = [engine(1.0, "old"), engine(2.0, "first"), make.roll_start(), engine(3.0, "second"), roll_end(make, 1.0)]
    kept = record(tmp_path, [*drafts, engine(4.0, "later")])
    assert [one.payload.version for one in kept.engines] == ["first", "second"]


def test_a_roll_without_an_end_is_as_long_as_its_events_prove(tmp_path: Path) -> None:
    make = maker()
    drafts = [
        make.roll_start(),
        make.status(StationState.CONTINUOUS_EXECUTION, roll_lines=10_000),  # 2 m
        told(Kind.DEFECT_NEW, defect(1, 2400, 10, 100, 5), make),
        make.coverage_gap(15_000, 16_000, "overrun"),  # 3.0 to 3.2 m
    ]
    kept = record(tmp_path, drafts)
    assert kept.place.state is RollState.OPEN
    assert kept.is_partial
    assert kept.woven_m == pytest.approx(3.2)
    assert (kept.missed_m, kept.inspected_m) == (pytest.approx(0.2), pytest.approx(3.0))


@pytest.mark.parametrize(
    ("after", "state"),
    [
        ([maker("R-18").roll_start()], RollState.CUT_OFF),
        ([maker(None).status(StationState.INITIALIZED)], RollState.CUT_OFF),
        ([maker().status(StationState.CONTINUOUS_EXECUTION)], RollState.OPEN),
        ([roll_end(maker(), 1.0), maker("R-18").roll_start()], RollState.COMPLETE),
    ],
)
def test_what_follows_tells_an_open_roll_from_one_cut_off(tmp_path: Path, after: list[Draft], state: RollState) -> None:
    assert record(tmp_path, [maker().roll_start(), *after], "R-17").place.state is state


def test_of_two_rolls_of_one_name_the_last_is_meant(tmp_path: Path) -> None:
    drafts = [
        *whole_roll([defect(1, 10, 10, 5, 5)], woven_m=5),
        *whole_roll([defect(1, 700, 10, 5, 5), defect(2, 900, 10, 5, 5)], woven_m=7),
        *whole_roll([defect(1, 20, 10, 5, 5)], woven_m=9, roll_id="other"),
    ]
    kept = record(tmp_path, drafts, "R-17")
    assert kept.place.occurrence == 2
    assert [one.payload.along_mm for one in kept.defects] == [700, 900]
    assert kept.woven_m == 7
    with JournalReader(tmp_path / "events.journal") as reader:
        assert record_of(reader, None).place.roll_id == "other"
        assert [(one.roll_id, one.occurrence) for one in rolls_of(reader)] == [("R-17", 1), ("R-17", 2), ("other", 1)]


def test_a_roll_that_is_not_there_is_refused_with_those_that_come_near(tmp_path: Path) -> None:
    drafts = [
        draft for name in ("2025-0117-03", "2025-0117-04", "zz") for draft in whole_roll([], woven_m=1, roll_id=name)
    ]
    with pytest.raises(
        InputError, match=r"no roll '2025-0117-05'; the nearest are '2025-0117-0[34]', '2025-0117-0[34]'"
    ):
        record(tmp_path, drafts, "2025-0117-05")


def test_a_journal_without_rolls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no roll"):
        record(tmp_path, [maker(None).status(StationState.READY)])


def test_the_live_width_and_the_first_columns_stand_in_for_the_mean(tmp_path: Path) -> None:
    make = maker()
    assert record(tmp_path, [make.roll_start()]).told_width_mm is None
    (tmp_path / "b").mkdir()
    kept = record(tmp_path / "b", whole_roll([], woven_m=1, width_mm=1498.5))
    assert kept.told_width_mm == 1498.5


_STEPS = st.lists(
    st.tuples(
        st.integers(1, 5), st.sampled_from([Kind.DEFECT_NEW, Kind.DEFECT_UPDATE, Kind.DEFECT_END]), st.floats(1, 900)
    ),
    max_size=30,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rolls=st.lists(st.tuples(st.sampled_from(["A", "B"]), _STEPS, st.booleans()), min_size=1, max_size=4))
def test_a_record_is_the_last_word_of_the_documents(
    tmp_path_factory: pytest.TempPathFactory, rolls: list[tuple[str, list[tuple[int, Kind, float]], bool]]
) -> None:
    drafts: list[Draft] = []
    for name, steps, ends in rolls:
        make = maker(name)
        drafts.append(make.roll_start())
        drafts += [told(kind, defect(number, 5.0, 3.0, size, 2.0), make) for number, kind, size in steps]
        drafts += [roll_end(make, 2.0)] if ends else []
    path = write_journal(tmp_path_factory.mktemp("journal") / "j", drafts)
    name = rolls[0][0]
    with JournalReader(path) as reader:
        kept = record_of(reader, name)
    # the same by SQLite and JSON alone
    with sqlite3.connect(path) as connection:
        documents: list[dict[str, Any]] = [
            json.loads(row[0]) for row in connection.execute("SELECT document FROM events ORDER BY seq")
        ]
    starts = [i for i, one in enumerate(documents) if one["kind"] == "roll.start"]
    begin = max(i for i in starts if documents[i]["roll_id"] == name)
    end = min((i for i in starts if i > begin), default=len(documents))
    last = {one["payload"]["defect_id"]: one for one in documents[begin:end] if one["kind"].startswith("defect.")}
    found = {one.payload.defect_id: (one.payload.length_mm, one.has_ended) for one in kept.defects}
    assert found == {number: (one["payload"]["length_mm"], one["kind"] == "defect.end") for number, one in last.items()}
    assert kept.is_partial == all(one["kind"] != "roll.end" for one in documents[begin:end])
