"""The events of a station as log lines.

Promises: an event is logged after it is durable, with its station, roll, style and number; what a person must look at
is a warning or an error; a defect that only grew is not logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import structlog

from glass_edge.events.payloads import (
    CoverageGap,
    DefectPayload,
    EngineActivated,
    GapReason,
    RollEnd,
    RollStart,
    StationState,
    Status,
    StopAck,
    StopRequest,
)
from glass_edge.events.schema import Draft, Event, Kind

_log = structlog.get_logger(__name__)


class EventLog:
    """Emits drafts and logs the events they became.

    Args:
        emit: keeps and publishes a draft.
    """

    def __init__(self, emit: Callable[[Draft], Event]) -> None:
        self._emit = emit

    def __call__(self, draft: Draft) -> Event:
        """Emit, then log. Raises as `emit`."""
        event = self._emit(draft)
        if (level := _level(event)) is not None:
            _log.log(level, _sentence(event), **_fields(event))
        return event


def _level(event: Event) -> int | None:
    """None: not logged."""
    payload, level = event.payload, logging.INFO
    if event.kind == Kind.DEFECT_UPDATE:
        return None
    if isinstance(payload, CoverageGap):
        level = logging.INFO if payload.reason is GapReason.SEGMENT_EDGE else logging.WARNING
    elif isinstance(payload, StopRequest):
        level = logging.WARNING
    elif isinstance(payload, Status):
        if payload.fault_code is None and payload.web_m_per_min is not None:
            return None  # figures, which the metrics show
        if payload.fault_code is not None:
            level = logging.ERROR if payload.state is StationState.ERROR else logging.WARNING
    return level


def _fields(event: Event) -> dict[str, object]:
    known = {"station": event.station, "roll": event.roll_id, "style": event.style, "seq": event.seq}
    return {"kind": event.kind} | {key: value for key, value in known.items() if value is not None}


def _sentence(event: Event) -> str:
    payload = event.payload
    match payload:
        case RollStart():
            text = f"roll {event.roll_id} begins"
        case RollEnd():
            text = (
                f"roll {event.roll_id} ends: {payload.woven_m:.2f} m woven, {payload.missed_m:.2f} m not inspected,"
                f" {payload.defects} defects"
            )
        case DefectPayload():
            text = (
                f"defect {payload.defect_id} {event.kind.removeprefix('defect.')}: {payload.shape.value} at"
                f" {payload.along_mm / 1000:.3f} m, {payload.across_mm:.0f} mm across"
            )
        case CoverageGap():
            text = f"{payload.length_m:.3f} m not inspected: {payload.reason.value} {payload.detail}".rstrip()
        case StopRequest():
            text = f"stop asked for: {payload.reason}"
        case StopAck():
            text = f"stop {'accepted' if payload.accepted else 'refused'} by {payload.source}"
        case EngineActivated():
            text = f"engine {payload.style} {payload.version} decides"
        case Status():
            text = f"{payload.state.value}: {payload.message}" if payload.message else payload.state.value
        case _:
            text = event.kind
    return text
