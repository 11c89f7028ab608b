"""What an event of the station is in OPC UA: event types with their fields, without the library.

Promises: the occurrences of an event are a function of it, of the view before it and of the results it completed; their
time is the event's stamp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from glass_edge.adapters.opcua_nodes import Plain
from glass_edge.adapters.opcua_results import Recipe, RollResult
from glass_edge.adapters.opcua_states import machine_states, transition
from glass_edge.adapters.station_view import StationView
from glass_edge.events.payloads import (
    CoverageGap,
    DefectPayload,
    EngineActivated,
    StationState,
    Status,
    StopAck,
    StopRequest,
)
from glass_edge.events.schema import Event, Kind

INFORMATION, NOTICE, WARNING, ALARM, FAULT = 100, 300, 500, 700, 900
"""Severities (OPC 10000-5, 6.4.2: 1 to 1000)."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """A transition of a state machine; `inner`: the machine of the automatic mode."""

    before: str
    after: str
    transition: str | None
    inner: bool


@dataclass(frozen=True, slots=True)
class JobId:
    """A job of OPC 40100-1: a roll."""

    roll_id: str


Field: TypeAlias = Plain | JobId | Recipe


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that subscribers are told.

    Attributes:
        event_type: name of its type, of OPC 40100-1 or of the project.
        stamp_utc: when it happened.
        severity: 1 to 1000.
        message: for a person.
        fields: by name.
        change: transition that a type of transitions tells; None for other types.
        result: result that ResultReadyEventType tells.
    """

    event_type: str
    stamp_utc: datetime
    severity: int
    message: str
    fields: dict[str, Field]
    change: StateChange | None = None
    result: RollResult | None = None


def occurrences(before: StationView | None, event: Event, results: Sequence[RollResult]) -> Iterator[Occurrence]:
    """What subscribers are told of an event.

    Args:
        before: the view before it; None when it is the first that is known.
        event: what happened.
        results: results that it completed.
    """
    for result in results:
        message = (
            f"roll {result.roll_id}: {len(result.content['defects']) + result.content['defects_left_out']} defects"
        )
        yield Occurrence("ResultReadyEventType", result.ended_utc, NOTICE, message, {}, result=result)
    payload, stamp = event.payload, event.stamp_utc
    if isinstance(payload, DefectPayload):
        yield from _defect(event, payload)
    elif isinstance(payload, Status):
        yield from _status(before, event, payload)
    elif isinstance(payload, CoverageGap):
        fields: dict[str, Field] = {
            "RollId": event.roll_id or "",
            "AlongMillimetres": payload.along_mm,
            "LengthMetres": payload.length_m,
            "Reason": str(payload.reason),
        }
        message = f"{payload.length_m:.3f} m not inspected: {payload.reason} {payload.detail}".strip()
        yield Occurrence("GapEventType", stamp, WARNING, message, fields)
    elif isinstance(payload, StopRequest):
        fields = {
            "RequestId": payload.request_id,
            "Cause": payload.cause or "",
            "DefectId": payload.defect_id or 0,
        }
        yield Occurrence("StopRequestEventType", stamp, ALARM, payload.reason, fields)
    elif isinstance(payload, StopAck):
        fields = {"RequestId": payload.request_id, "Accepted": payload.accepted, "AnsweredBy": payload.source}
        message = f"{payload.source} {'stops the loom' if payload.accepted else 'refused to stop'} {payload.detail}"
        yield Occurrence("StopAnswerEventType", stamp, NOTICE, message.strip(), fields)
    elif isinstance(payload, EngineActivated):
        recipe = Recipe(
            style=payload.style, version=payload.version, model_sha256=payload.model_sha256, activated_utc=stamp
        )
        message = f"engine {recipe.internal_id} decides"
        fields = {"ExternalId": recipe, "InternalId": recipe}
        yield Occurrence("RecipePreparedEventType", stamp, INFORMATION, message, fields)
    elif event.kind == Kind.ROLL_START:
        message = f"roll {event.roll_id} of {event.style}"
        yield Occurrence("JobStartedEventType", stamp, INFORMATION, message, {"JobId": JobId(event.roll_id or "")})


def _defect(event: Event, payload: DefectPayload) -> Iterator[Occurrence]:
    if event.kind == Kind.DEFECT_UPDATE:
        return
    phase = "new" if event.kind == Kind.DEFECT_NEW else "end"
    fields: dict[str, Field] = {
        "Phase": phase,
        "DefectId": payload.defect_id,
        "RollId": event.roll_id or "",
        "Style": event.style or "",
        "Shape": str(payload.shape),
        "AlongMillimetres": payload.along_mm,
        "AcrossMillimetres": payload.across_mm,
        "WidthMillimetres": payload.width_mm,
        "LengthMillimetres": payload.length_mm,
        "AreaSquareMillimetres": payload.area_mm2,
        "PeakScore": payload.peak_score,
        "IsHole": payload.is_hole,
        "IsRunning": payload.is_running,
        "MergedInto": payload.merged_into or 0,
    }
    message = (
        f"{payload.shape} {payload.defect_id} at {payload.along_mm / 1000:.3f} m, {payload.across_mm:.0f} mm: {phase}"
    )
    severity = ALARM if payload.is_hole or payload.is_running else NOTICE
    yield Occurrence("DefectEventType", event.stamp_utc, severity, message, fields)


def _status(before: StationView | None, event: Event, payload: Status) -> Iterator[Occurrence]:
    known = None if before is None or before.epoch != event.epoch or before.status is None else before.status
    if known is None or known.state == payload.state:
        return
    stamp = event.stamp_utc
    first, second = machine_states(known.state), machine_states(payload.state)
    change = StateChange(first.outer, second.outer, transition(first.outer, second.outer), inner=False)
    message = f"{known.state} to {payload.state}"
    if payload.state is StationState.ERROR:
        text = f"{payload.fault_code}: {payload.message}"
        yield Occurrence("ErrorEventType", stamp, FAULT, text, {}, change)
    if known.state is StationState.ERROR:
        yield Occurrence("ErrorResolvedEventType", stamp, NOTICE, f"{known.fault_code}: resolved", {}, change)
    if first.outer != second.outer:
        yield Occurrence("StateChangedEventType", stamp, INFORMATION, message, {}, change)
    if first.inner is not None and second.inner is not None:
        inner = StateChange(first.inner, second.inner, transition(first.inner, second.inner), inner=True)
        yield Occurrence("StateChangedEventType", stamp, INFORMATION, message, {}, inner)
        if inner.transition is not None and second.inner == StationState.READY and "Execution" in first.inner:
            roll = before.roll if before is not None else None
            job = JobId("" if roll is None else roll.roll_id)
            yield Occurrence("ReadyEventType", stamp, INFORMATION, "ready for the next roll", {"JobId": job})
