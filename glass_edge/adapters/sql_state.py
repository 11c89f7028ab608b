"""The state of a station, as one row.

Promises: it is what the newest event of each kind says, whatever order they came in.
"""

from __future__ import annotations

from glass_edge.adapters.sql_values import Row, storable
from glass_edge.events.payloads import EngineActivated, Status
from glass_edge.events.schema import Event


def state_before(station: str, epoch: str) -> Row:
    """The state of a station of whose epoch no event was taken."""
    fields = ("stamp_utc", "is_simulated", "roll_first_seq", "roll_id", "style", "status_utc", "state", "fault_code")
    more = ("message", "roll_m", "web_m_per_min", "is_bypassed", "engine_style", "engine_version")
    numbers = {"seq": 0, "status_seq": 0, "engine_seq": 0, "is_roll_open": False}
    return {"station": station, "epoch": epoch, **numbers, **dict.fromkeys((*fields, *more))}


def state_after(state: Row, event: Event) -> Row:
    """The state once `event` is known, whichever came before; but for the roll, which `Fold` tells."""
    payload, changes = event.payload, {}
    if event.seq > state["seq"]:
        changes = {"seq": event.seq, "stamp_utc": event.stamp_utc, "is_simulated": event.is_simulated}
    if isinstance(payload, Status) and event.seq > state["status_seq"]:
        fields = {"state", "fault_code", "message", "roll_m", "web_m_per_min", "is_bypassed"}
        changes |= {"status_seq": event.seq, "status_utc": event.stamp_utc, **payload.model_dump(include=fields)}
    if isinstance(payload, EngineActivated) and event.seq > state["engine_seq"]:
        changes |= {"engine_seq": event.seq, "engine_style": payload.style, "engine_version": payload.version}
    return state | storable(changes)
