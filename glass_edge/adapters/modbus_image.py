"""The values of the map, from what is known of the station and of the adapter.

Promises: the values are a function of what is given; each name is one of the map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from glass_edge.adapters.modbus_codec import Value
from glass_edge.adapters.modbus_codes import (
    CAUSE_CODES,
    FAULT_CODES,
    OTHER,
    SHAPE_CODES,
    STATE_CODES,
    Result,
)
from glass_edge.adapters.modbus_map import FLAGS, MAP_VERSION
from glass_edge.adapters.modbus_state import Done, ModbusState
from glass_edge.adapters.station_view import PendingStop, RollView, StationView
from glass_edge.events.payloads import DefectPayload, Status

_U32 = 0x1_0000_0000
_U16 = 0x1_0000


@dataclass(frozen=True, slots=True)
class AdapterValues:
    """What the adapter knows of itself.

    Attributes:
        heartbeat: beats so far.
        is_live, is_heard, needs_person: as in the flags of the map.
        state: what it keeps.
        stop_number: number of the request that waits; 0: none waits.
        stop_age_s: how long it has waited, s.
        is_overdue: longer than the controller may take.
        is_stop_enabled: the controller answers stop requests.
    """

    heartbeat: int
    is_live: bool
    is_heard: bool
    needs_person: bool
    state: ModbusState
    stop_number: int
    stop_age_s: float
    is_overdue: bool
    is_stop_enabled: bool


def image_values(view: StationView | None, own: AdapterValues) -> Mapping[str, Value]:
    """Values by their names in the map; what is not there is not known."""
    values: dict[str, Value] = {
        "map_version": MAP_VERSION,
        "heartbeat": own.heartbeat,
        "flags": _flags(view, own),
        "journal_changes": own.state.journal_changes % _U16,
        "stop_number": own.stop_number,
        "ack_number": own.state.ack.number,
    }
    for name in ("ack", "bypass", "roll", "recipe"):
        values |= _result(name, getattr(own.state, name))
    if view is None:
        return values
    values |= {
        "state": 0 if view.status is None else STATE_CODES.get(view.status.state, OTHER),
        "fault": 0 if view.status is None else _code(FAULT_CODES, view.status.fault_code),
        "journal_id": int(view.epoch[:8], 16),
        "event_number": view.seq % _U32,
        "station": view.station,
    }
    if view.engine is not None:
        values |= {
            "engine_style": view.engine.style,
            "engine_version": view.engine.version,
            "promised_per_100m": view.engine.promised_per_100m,
        }
    if view.last_fault is not None:
        values |= _fault(view.last_fault, view.last_fault_seq)
    if view.figures is not None:
        values |= _figures(view.figures)
    if view.roll is not None:
        values |= _roll(view.roll)
    if view.last_defect is not None:
        values |= _defect(view.last_defect, view.last_defect_seq)
    if view.stop is not None and own.stop_number:
        values |= _stop(view.stop, own.stop_age_s)
    return values


def _flags(view: StationView | None, own: AdapterValues) -> int:
    commands = (own.state.ack, own.state.bypass, own.state.roll, own.state.recipe)
    is_set = {
        "live": own.is_live,
        "station_heard": own.is_heard,
        "is_simulated": view is not None and view.is_simulated,
        "roll_open": view is not None and view.roll is not None and view.roll.is_open,
        "stop_requested": own.stop_number != 0,
        "ack_overdue": own.is_overdue,
        "stop_enabled": own.is_stop_enabled,
        "is_bypassed": view is not None and view.is_bypassed,
        "has_fault": view is not None and view.status is not None and view.status.fault_code is not None,
        "needs_person": own.needs_person,
        "is_commanding": any(one.result is Result.PENDING for one in commands),
    }
    return sum(is_set[name] << bit for bit, (name, _) in enumerate(FLAGS))


def _result(name: str, done: Done) -> dict[str, Value]:
    number = {} if name == "ack" else {f"{name}_done": done.number}
    return {
        **number,
        f"{name}_result": done.result,
        f"{name}_reason": done.reason,
        f"{name}_message": done.message,
    }


def _fault(fault: Status, seq: int) -> dict[str, Value]:
    return {
        "last_fault": _code(FAULT_CODES, fault.fault_code),
        "last_fault_event": seq % _U32,
        "fault_name": fault.fault_code,
        "fault_text": fault.message,
    }


def _figures(figures: Status) -> dict[str, Value]:
    return {
        "web_m_per_min": figures.web_m_per_min,
        "cloth_width_mm": figures.cloth_width_mm,
        "alarms_per_100m": figures.alarms_per_100m,
        "alarms_low_per_100m": figures.alarms_low_per_100m,
        "alarms_high_per_100m": figures.alarms_high_per_100m,
    }


def _roll(roll: RollView) -> dict[str, Value]:
    return {
        "roll_m": roll.woven_m,
        "missed_m": roll.missed_m,
        "defects": roll.defects,
        "gaps": roll.gaps,
        "points": roll.points,
        "first_quality": roll.is_first_quality,
        "roll_started": int(roll.started_utc.timestamp()),
        "roll_id": roll.roll_id,
        "style": roll.style,
    }


def _defect(defect: DefectPayload, seq: int) -> dict[str, Value]:
    bits = (defect.is_running, defect.is_hole, defect.is_cut_mark)
    return {
        "last_defect_event": seq % _U32,
        "last_defect": defect.defect_id,
        "last_defect_shape": _code(SHAPE_CODES, defect.shape),
        "last_defect_flags": sum(is_set << bit for bit, is_set in enumerate(bits)),
        "last_defect_along_mm": defect.along_mm,
        "last_defect_across_mm": defect.across_mm,
        "last_defect_length_mm": defect.length_mm,
        "last_defect_width_mm": defect.width_mm,
        "last_defect_peak": defect.peak_score,
    }


def _stop(stop: PendingStop, age_s: float) -> dict[str, Value]:
    request = stop.request
    return {
        "stop_cause": OTHER if request.cause is None else _code(CAUSE_CODES, request.cause),
        "stop_age_s": int(age_s),
        "stop_along_mm": request.along_mm,
        "stop_across_mm": request.across_mm,
        "stop_defect": request.defect_id,
        "stop_period_mm": request.period_mm,
        "stop_event": stop.seq % _U32,
        "stop_reason": request.reason,
    }


def _code(codes: Mapping[str, int], name: str | None) -> int:
    return 0 if name is None else codes.get(name, OTHER)
