"""What the SQL adapter would do with an event, for a dry run.

Promises: no library of the extra is needed to tell it.
"""

from __future__ import annotations

from glass_edge.events.client import Received
from glass_edge.events.schema import DEFECT_KINDS, Kind

_TABLES = {
    Kind.ROLL_START: "rolls",
    Kind.ROLL_END: "rolls",
    **dict.fromkeys(DEFECT_KINDS, "defects"),
    Kind.COVERAGE_GAP: "gaps",
    Kind.STOP_REQUEST: "stops",
    Kind.STOP_ACK: "stops",
}


def plan(received: Received) -> str:
    """What `SqlSink` would do with an event."""
    kind = received.event.kind
    table = _TABLES.get(Kind(kind)) if kind in list(Kind) else None
    return "would write it to events" + ("" if table is None else f", {table}") + " and station_state"
