from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from events_support import MAKER, defect, numbered
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from glass_edge.events.errors import EventFormatError
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import (
    CoverageGap,
    DefectPayload,
    GapReason,
    OtherPayload,
    RollEnd,
    StationState,
    Status,
)
from glass_edge.events.schema import ENVELOPE_ORDER, PAYLOAD_TYPES, SCHEMA_VERSION, Draft, Event, Kind

EPOCH = "0123456789abcdef0123456789abcdef"


def placed(draft: Draft, **changes: object) -> Event:
    fields: dict[str, Any] = {name: getattr(draft, name) for name in Draft.model_fields}
    fields |= {
        "schema_version": SCHEMA_VERSION,
        "station": "loom1",
        "epoch": EPOCH,
        "seq": 7,
        "stamp_utc": datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC),
    }
    return Event(**(fields | changes))


def document(**changes: object) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(placed(MAKER.defect(defect(3))).to_json())
    return fields | changes


def test_a_document_has_the_keys_in_order_and_the_stamp_with_microseconds() -> None:
    text = placed(MAKER.defect(defect(3))).to_json()
    assert tuple(json.loads(text)) == ENVELOPE_ORDER
    assert json.loads(text)["stamp_utc"] == "2025-03-01T12:00:00.000000Z"
    assert "\n" not in text


@given(
    st.floats(3e8, 4e9),
    st.integers(-14 * 60, 14 * 60),
)
def test_stamps_are_the_same_instant_in_utc(epoch_s: float, offset_min: int) -> None:
    stamp = datetime.fromtimestamp(epoch_s, timezone(timedelta(minutes=offset_min)))
    text = json.loads(placed(numbered(1), stamp_utc=stamp).to_json())["stamp_utc"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC) == stamp


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1),
    st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1, max_size=128),
)
def test_what_is_written_is_read_back_equal(logit: float, score: float, roll_id: str) -> None:
    draft = MAKER.defect(defect(3))
    payload = draft.payload.model_copy(update={"peak_logit": logit, "peak_score": score})
    event = placed(draft, payload=payload, roll_id=roll_id)
    assert parse_event(event.to_json()) == event
    assert parse_event(event.to_json().encode()).to_json() == event.to_json()


def test_every_kind_has_one_payload_and_refuses_another() -> None:
    assert set(PAYLOAD_TYPES) == set(Kind)
    status = Status(state=StationState.READY)
    for kind, wanted in PAYLOAD_TYPES.items():
        if wanted is not Status:
            with pytest.raises(ValidationError, match=f"carries {wanted.__name__}"):
                Draft(kind=kind, is_simulated=False, is_partial=False, roll_id="R", style="s", payload=status)


def test_unknown_keys_are_refused_when_written_and_ignored_when_read() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Status.model_validate({"state": "Ready", "colour": "green"})
    with pytest.raises(ValidationError, match="Extra inputs"):
        Event.model_validate(document(colour="green"))
    fields = document(schema_version="1.9", colour="green")
    fields["payload"]["grade"] = 4
    event = parse_event(json.dumps(fields))
    assert isinstance(event.payload, DefectPayload)
    assert event.payload.defect_id == 3


def test_a_kind_of_a_later_minor_version_is_handed_on_with_its_fields() -> None:
    fields = document(schema_version="1.9", kind="grade.changed", payload={"grade": 4, "why": "holes"})
    event = parse_event(json.dumps(fields))
    assert isinstance(event.payload, OtherPayload)
    assert event.payload.model_extra == {"grade": 4, "why": "holes"}
    assert json.loads(event.to_json()) == fields


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema_version": "2.0"}, "reads 1.x"),
        ({"schema_version": "1"}, "schema_version is '1'"),
        ({"schema_version": None}, "schema_version is None"),
        ({"kind": "grade.changed"}, "unknown kind 'grade.changed'"),
        ({"kind": ["defect.new"]}, "unknown kind"),
        ({"schema_version": "1.7", "kind": ["defect.new"]}, "kind"),
        ({"seq": 0}, "seq"),
        ({"epoch": "xyz"}, "epoch"),
        ({"station": "a/b"}, "station"),
        ({"stamp_utc": "2025-03-01T12:00:00"}, "stamp_utc"),
        ({"payload": 5}, "payload"),
        ({"roll_id": None}, "needs roll_id"),
    ],
)
def test_broken_documents_are_named(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(EventFormatError, match=re.escape(reason)):
        parse_event(json.dumps(document(**changes)))


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode) | st.just(b"[" * 100_000))
def test_anything_else_is_refused_with_one_error(body: bytes) -> None:
    with pytest.raises(EventFormatError):
        parse_event(body)


def test_a_missing_key_is_named() -> None:
    fields = document()
    del fields["payload"]["peak_score"]
    with pytest.raises(EventFormatError, match="peak_score"):
        parse_event(json.dumps(fields))


def test_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match="are not 10 woven"):
        RollEnd(
            end_line=10, lines_woven=10, lines_inspected=8, lines_missed=1,
            woven_m=1, inspected_m=0.8, missed_m=0.1, defects=0,
        )  # fmt: skip
    with pytest.raises(ValidationError, match="finite"):
        CoverageGap(first_line=0, end_line=1, along_mm=float("nan"), length_m=1, reason=GapReason.OVERRUN)
    with pytest.raises(ValidationError, match="empty gap"):
        CoverageGap(first_line=5, end_line=5, along_mm=0, length_m=0, reason=GapReason.OVERRUN)
    with pytest.raises(ValidationError, match="needs a fault_code"):
        Status(state=StationState.ERROR)
    with pytest.raises(ValidationError, match="together"):
        Status(state=StationState.READY, fault_code="camera_lost")
