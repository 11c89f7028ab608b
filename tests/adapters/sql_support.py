"""What the tests of the SQL adapter share: streams of events, and a second computation of every table from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import Connection, Text, cast, select

from glass_edge.adapters.sql import SqlSink
from glass_edge.adapters.sql_database import Database
from glass_edge.adapters.sql_tables import events, metadata
from glass_edge.config.adapter_sql import SqlSettings
from glass_edge.events.client import Received
from glass_edge.events.parsing import parse_event
from glass_edge.events.schema import SCHEMA_VERSION, format_stamp

Document = dict[str, Any]
Tables = dict[str, list[Document]]
BEGIN = datetime(2025, 3, 1, 6, tzinfo=UTC)
_ROLLS = ["R-1", "R-2", "R\0"]
_KINDS = [
    *("roll.start", "roll.end", "defect.new", "defect.update", "defect.update", "defect.end", "coverage.gap"),
    *("stop.request", "stop.ack", "engine.activated", "status", "later.kind"),
]
PROJECTIONS = ("rolls", "defects", "gaps", "stops", "station_state")


def received(documents: Iterable[Document]) -> list[Received]:
    """Events as a client hands them out."""
    texts = [json.dumps(document, separators=(",", ":")) for document in documents]
    return [Received(parse_event(text), text) for text in texts]


def document(kind: str, payload: Document, *, roll: str | None = None, **envelope: Any) -> Document:  # noqa: ANN401
    """An event document; `envelope` replaces keys of it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "station": "loom1",
        "epoch": "a" * 32,
        "seq": 1,
        "kind": kind,
        "stamp_utc": format_stamp(BEGIN),
        "is_simulated": False,
        "is_partial": True,
        "roll_id": roll,
        "style": None if roll is None else f"style of {roll}",
        "payload": payload,
    } | envelope


def defect_payload(number: int, **fields: Any) -> Document:  # noqa: ANN401
    return {
        "defect_id": number,
        "shape": "point",
        "along_mm": 10.0 * number,
        "across_mm": 5.5,
        "width_mm": 1.25,
        "length_mm": 2.0,
        "area_mm2": 1.5,
        "peak_score": 0.9,
        "mean_score": 0.8,
        "peak_logit": 2.25,
        "first_line": 1,
        "end_line": 2,
        "left_px": 1,
        "right_px": 2,
    } | fields


def end_payload(**fields: Any) -> Document:  # noqa: ANN401
    metres = {"woven_m": 100.0, "inspected_m": 99.5, "missed_m": 0.5}
    lines = {"end_line": 600, "lines_woven": 500, "lines_inspected": 450, "lines_missed": 50}
    return lines | metres | {"defects": 3} | fields


@st.composite
def _kind_and_payload(draw: st.DrawFn) -> tuple[str, Document]:
    kind = draw(st.sampled_from(_KINDS))
    number = draw(st.integers(1, 4))
    figure = draw(st.sampled_from([0.0, 1.5, 1e-300, 123456.789012345]))
    name = draw(st.sampled_from(["s1", "s2", "s\0"]))
    payloads: dict[str, Document] = {
        "roll.start": {"first_line": number, "mm_per_px": 0.1, "mm_per_line": 0.25},
        "roll.end": end_payload(points=number, is_first_quality=number > 1, grade_reasons=["one", "two\0"][:number]),
        "coverage.gap": {
            "first_line": 1,
            "end_line": 5,
            "along_mm": figure,
            "length_m": figure,
            "reason": "overrun",
            "detail": name,
        },
        "stop.request": {"request_id": name, "reason": "because", "defect_id": number, "cause": "hole"},
        "stop.ack": {"request_id": name, "accepted": number > 2, "source": "plc", "detail": name},
        "engine.activated": {
            "style": "twill",
            "version": f"v{number}",
            "model_sha256": "0" * 64,
            "runtime": "r",
            "precision": "f32",
            "threshold_logit": 1.0,
        },
        "status": {"state": "Error", "fault_code": "camera", "message": f"no {name}", "roll_m": figure},
        "later.kind": {"words": "\ud800\0", "huge": 10**400},
    }
    if kind.startswith("defect."):
        merged = number if kind == "defect.end" and figure else None
        return kind, defect_payload(number, along_mm=figure, merged_into=merged, is_hole=number == 2)
    return kind, payloads[kind]


@st.composite
def journals(draw: st.DrawFn, epoch: str) -> list[Document]:
    """The events of a journal that some subscriber has: rolls without start or end, names that come again, gaps."""
    made, woven = [], draw(st.sampled_from(_ROLLS))
    for seq in range(1, draw(st.integers(1, 40)) + 1):
        kind, payload = draw(_kind_and_payload())
        if kind == "roll.start" or draw(st.integers(0, 9)) == 0:
            woven = draw(st.sampled_from(_ROLLS))
        is_of_none = not kind.startswith(("roll", "defect")) and draw(st.booleans())
        roll = None if is_of_none else woven
        made.append(
            document(
                kind,
                payload,
                roll=roll,
                epoch=epoch,
                seq=seq,
                schema_version="1.9" if kind == "later.kind" else SCHEMA_VERSION,
                stamp_utc=format_stamp(BEGIN + timedelta(seconds=draw(st.integers(-5, 5)))),  # clocks jump
            )
        )
    kept = draw(st.sets(st.sampled_from(range(len(made))), min_size=1)) if draw(st.booleans()) else range(len(made))
    return [made[number] for number in sorted(kept)]


def stored(connection: Connection) -> Tables:
    """Every table as it is, documents as text."""
    tables = {}
    for name, table in metadata.tables.items():
        columns = [cast(column, Text).label(column.name) if column.name == "document" else column for column in table.c]
        rows = connection.execute(select(*columns).order_by(*table.primary_key)).mappings()
        tables[name] = [dict(row) for row in rows]
    return tables


def stored_documents(connection: Connection) -> list[str]:
    query = select(cast(events.c.document, Text)).order_by(events.c.station, events.c.epoch, events.c.seq)
    return list(connection.scalars(query))


def projections(documents: Sequence[str], newest_epochs: dict[str, str]) -> Tables:
    """All tables but `events` as they must be, by looking at all the events of a journal at once.

    Args:
        documents: all of `events`.
        newest_epochs: the journal of each station that became known last.
    """
    found: Tables = {name: [] for name in PROJECTIONS}
    parsed = [json.loads(text) for text in documents]
    for station, epoch in sorted({(one["station"], one["epoch"]) for one in parsed}):
        of_journal = [one for one in parsed if (one["station"], one["epoch"]) == (station, epoch)]
        _journal(sorted(of_journal, key=lambda one: one["seq"]), found, is_newest=newest_epochs[station] == epoch)
    for name in PROJECTIONS:
        found[name].sort(key=lambda row: [row[column.name] for column in metadata.tables[name].primary_key])
    return found


def _text(value: str | None) -> str | None:
    return value and value.replace("\0", "\ufffd")


def _stamp(one: Document | None) -> datetime | None:
    return None if one is None else datetime.fromisoformat(one["stamp_utc"])


def _columns(table: str, payload: Document | None) -> Document:
    """The columns of a payload that bear the same name, as a model of its kind would fill them in."""
    defaults = {"is_hole": False, "is_running": False, "is_cut_mark": False, "parts": 1, "detail": ""}
    given = defaults | (payload or {})
    return {
        column.name: _text(value) if isinstance(value, str) else value
        for column in metadata.tables[table].c
        for value in [given.get(column.name)]
    }


def _journal(ordered: list[Document], found: Tables, *, is_newest: bool) -> None:
    named = [one for one in ordered if one["roll_id"] is not None]
    begins = [
        one["seq"]
        for before, one in zip([None, *named], named, strict=False)
        if before is None or before["roll_id"] != one["roll_id"] or one["kind"] == "roll.start"
    ]

    def roll_of(one: Document) -> int | None:
        return None if one["roll_id"] is None else max(seq for seq in begins if seq <= one["seq"])

    open_roll = None
    for first_seq in begins:
        of_roll = [one for one in named if roll_of(one) == first_seq]
        ends = [one for one in of_roll if one["kind"] == "roll.end"]
        start = of_roll[0] if of_roll[0]["kind"] == "roll.start" else None
        is_open = is_newest and first_seq == begins[-1] and not ends
        open_roll = first_seq if is_open else open_roll
        found["rolls"].append(_roll(first_seq, ordered, of_roll[0], start, ends[-1] if ends else None, is_open=is_open))
        told = [one for one in of_roll if one["kind"].startswith("defect.")]
        for number in {one["payload"]["defect_id"] for one in told}:
            found["defects"].append(
                _defect(first_seq, [one for one in told if one["payload"]["defect_id"] == number], is_open=is_open)
            )
    for one in ordered:
        place = {"station": one["station"], "epoch": one["epoch"], "seq": one["seq"], "stamp_utc": _stamp(one)}
        on_roll = {"roll_first_seq": roll_of(one), "roll_id": _text(one["roll_id"])}
        if one["kind"] == "coverage.gap":
            found["gaps"].append(_columns("gaps", one["payload"]) | place | on_roll)
        if one["kind"] == "stop.request":
            found["stops"].append(_columns("stops", one["payload"]) | place | on_roll | _answer(one, ordered))
    if is_newest:
        found["station_state"].append(_state(ordered, begins, named, open_roll))


def _roll(
    first_seq: int,
    ordered: list[Document],
    first: Document,
    start: Document | None,
    end: Document | None,
    *,
    is_open: bool,
) -> Document:
    payload = (start or {"payload": {}})["payload"] | (end or {"payload": {}})["payload"]
    is_whole = False
    if start is not None and end is not None:
        there = {one["seq"] for one in ordered}
        is_whole = all(seq in there for seq in range(first_seq, end["seq"] + 1))
    return _columns("rolls", payload) | {
        "station": first["station"],
        "epoch": first["epoch"],
        "first_seq": first_seq,
        "roll_id": _text(first["roll_id"]),
        "style": _text(first["style"]),
        "is_simulated": first["is_simulated"],
        "is_open": is_open,
        "is_complete": is_whole,
        "started_utc": _stamp(start),
        "ended_utc": _stamp(end),
        "end_seq": None if end is None else end["seq"],
        "grade_reasons": _text("\n".join(payload.get("grade_reasons", ()))) or None,
        "grade_remarks": None,
    }


def _defect(first_seq: int, told: list[Document], *, is_open: bool) -> Document:
    last = told[-1]
    return _columns("defects", last["payload"]) | {
        "station": last["station"],
        "epoch": last["epoch"],
        "roll_first_seq": first_seq,
        "roll_id": _text(last["roll_id"]),
        "style": _text(last["style"]),
        "found_seq": told[0]["seq"],
        "found_utc": _stamp(told[0]),
        "last_seq": last["seq"],
        "is_open": is_open and last["kind"] != "defect.end",
    }


def _answer(request: Document, ordered: list[Document]) -> Document:
    """The first answer after a request and before the next one of its name."""
    name = request["payload"]["request_id"]
    after = [one for one in ordered if one["seq"] > request["seq"] and one["payload"].get("request_id") == name]
    ack = after[0] if after and after[0]["kind"] == "stop.ack" else None
    payload = {} if ack is None else {"detail": ""} | ack["payload"]
    return {
        "ack_seq": None if ack is None else ack["seq"],
        "ack_utc": _stamp(ack),
        "accepted": payload.get("accepted"),
        "ack_source": payload.get("source"),
        "ack_detail": _text(payload.get("detail")),
    }


def _state(ordered: list[Document], begins: list[int], named: list[Document], open_roll: int | None) -> Document:
    def last_of(kind: str) -> Document | None:
        return next((one for one in reversed(ordered) if one["kind"] == kind), None)

    status, engine = last_of("status"), last_of("engine.activated")
    roll = next((one for one in named if begins and one["seq"] == begins[-1]), None)
    told = {"is_bypassed": False, "roll_m": 0.0} | status["payload"] if status else {}
    return _columns("station_state", told) | {
        "station": ordered[-1]["station"],
        "epoch": ordered[-1]["epoch"],
        "seq": ordered[-1]["seq"],
        "stamp_utc": _stamp(ordered[-1]),
        "is_simulated": ordered[-1]["is_simulated"],
        "roll_first_seq": None if roll is None else roll["seq"],
        "roll_id": None if roll is None else _text(roll["roll_id"]),
        "style": None if roll is None else _text(roll["style"]),
        "is_roll_open": open_roll is not None,
        "status_seq": 0 if status is None else status["seq"],
        "status_utc": _stamp(status),
        "engine_seq": 0 if engine is None else engine["seq"],
        "engine_style": None if engine is None else engine["payload"]["style"],
        "engine_version": None if engine is None else engine["payload"]["version"],
    }


def sink_of(url: str, **settings: object) -> closing[SqlSink]:
    return closing(SqlSink(SqlSettings.model_validate({"url": url, "timeout_s": 5} | settings), "test"))


def states(*numbers: int, station: str = "loom1") -> list[Received]:
    """Events of no roll."""
    return received([document("status", {"state": "Ready"}, station=station, seq=number) for number in numbers])


@contextmanager
def reading(url: str, **settings: object) -> Iterator[Database]:
    database = Database(SqlSettings.model_validate({"url": url} | settings), "reader")
    try:
        yield database
    finally:
        database.close()


def seqs(url: str, **settings: object) -> list[int]:
    """Numbers of the events that are there."""
    with reading(url, **settings) as database, database.transaction() as connection:
        return [row["seq"] for row in stored(connection)["events"]]
