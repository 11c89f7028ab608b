"""What a controller wants to see of a station, kept up by its events.

Promises: a view is a function of the events it took, in order; one that comes again changes nothing; the file of a view
is written whole, so an adapter that starts again shows what it showed, and goes on from there.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from glass_edge.errors import InputError
from glass_edge.events.parsing import first_problem
from glass_edge.events.payloads import (
    Command,
    Count,
    CoverageGap,
    DefectPayload,
    Document,
    EngineActivated,
    Length,
    Name,
    RollEnd,
    RollStart,
    Status,
    StopAck,
    StopRequest,
)
from glass_edge.events.schema import Epoch, Event, Kind, Stamp, Station
from glass_edge.events.wire import Snapshot
from glass_edge.files import write_json


class RollView(Document):
    """A roll, open or complete."""

    roll_id: Name
    style: Name
    started_utc: Stamp
    is_open: bool
    woven_m: Length = 0.0
    """Metres so far, as the last status or the end told; exact at the end."""
    defects: Count = 0
    """Defects that began, less those that grew together with another."""
    gaps: Count = 0
    """Stretches that were not inspected."""
    missed_m: Length = 0.0
    """Metres that were not inspected."""
    points: Count | None = None
    """Points of the roll; null until it is graded."""
    is_first_quality: bool | None = None
    """Null until it is graded."""


class PendingStop(Document):
    """A stop request that waits for its acknowledgement."""

    seq: int = Field(ge=1)
    """Its event."""
    stamp_utc: Stamp
    request: StopRequest


class StationView(Document):
    """The present state of a station."""

    station: Station
    epoch: Epoch
    seq: int = Field(ge=0)
    """Last event taken."""
    stamp_utc: Stamp
    """When it happened."""
    is_simulated: bool = False
    status: Status | None = None
    figures: Status | None = None
    """The status that told figures last, on this roll."""
    last_fault: Status | None = None
    """The fault told last; over or not."""
    last_fault_seq: int = Field(default=0, ge=0)
    """Event that told of it."""
    is_bypassed: bool = False
    """The stop rules are bypassed: no stop is asked for."""
    roll: RollView | None = None
    """The open roll, or the last; null before the first."""
    last_defect: DefectPayload | None = None
    """The defect told of last, on this roll."""
    last_defect_seq: int = Field(default=0, ge=0)
    """Event that told of it."""
    engine: EngineActivated | None = None
    stop: PendingStop | None = None
    """Null when nothing waits."""

    def after(self, event: Event) -> StationView:
        """The view once `event` happened; of a new epoch it begins anew."""
        if event.epoch != self.epoch:
            return first_view(event)
        if event.seq <= self.seq:
            return self
        changes: dict[str, object] = {
            "seq": event.seq,
            "stamp_utc": event.stamp_utc,
            "is_simulated": event.is_simulated,
        }
        return self.model_copy(update=changes | self._changes(event))

    def _changes(self, event: Event) -> dict[str, object]:
        payload, roll = event.payload, self.roll
        changes: dict[str, object] = {}
        if isinstance(payload, DefectPayload):
            changes = self._defect(event, payload)
        elif isinstance(payload, RollStart):
            begun = RollView(
                roll_id=event.roll_id or "", style=event.style or "", started_utc=event.stamp_utc, is_open=True
            )
            changes = {"roll": begun, "last_defect": None, "last_defect_seq": 0, "figures": None}
        elif isinstance(payload, RollEnd):
            same = {"woven_m", "missed_m", "defects", "points", "is_first_quality"}
            changes = self._roll_with(event, is_open=False, **payload.model_dump(include=same))
        elif isinstance(payload, CoverageGap) and roll is not None:
            changes = self._roll_with(event, gaps=roll.gaps + 1, missed_m=roll.missed_m + payload.length_m)
        elif isinstance(payload, Status):
            metres = self._roll_with(event, woven_m=payload.roll_m) if payload.roll_lines else {}
            changes = {"status": payload, "is_bypassed": payload.is_bypassed, **metres}
            if payload.fault_code is not None:
                changes |= {"last_fault": payload, "last_fault_seq": event.seq}
            if payload.web_m_per_min is not None:
                changes |= {"figures": payload}
        elif isinstance(payload, EngineActivated):
            changes = {"engine": payload}
        elif isinstance(payload, StopRequest):
            changes = {"stop": PendingStop(seq=event.seq, stamp_utc=event.stamp_utc, request=payload)}
        elif isinstance(payload, StopAck) and self.stop and payload.request_id == self.stop.request.request_id:
            changes = {"stop": None}
        elif isinstance(payload, Command) and payload.accepted and payload.is_on is not None:
            changes = {"is_bypassed": payload.is_on}
        return changes

    def _defect(self, event: Event, payload: DefectPayload) -> dict[str, object]:
        shown: dict[str, object] = {"last_defect": payload, "last_defect_seq": event.seq}
        count = self.roll.defects if self.roll else 0
        if event.kind == Kind.DEFECT_NEW:
            return shown | self._roll_with(event, defects=count + 1)
        if event.kind == Kind.DEFECT_END and payload.merged_into is not None:
            return self._roll_with(event, defects=max(0, count - 1))
        return shown

    def _roll_with(self, event: Event, **changes: object) -> dict[str, object]:
        """The roll with changes, when the event belongs to it."""
        if self.roll is None or not self.roll.is_open or self.roll.roll_id != event.roll_id:
            return {}
        return {"roll": self.roll.model_copy(update=changes)}


def first_view(event: Event) -> StationView:
    """The view of a station of which `event` is the first that is known."""
    nothing = StationView(station=event.station, epoch=event.epoch, seq=event.seq - 1, stamp_utc=event.stamp_utc)
    return nothing.after(event)


def view_of_snapshot(station: str, epoch: str, snapshot: Snapshot, now: datetime) -> StationView:
    """The view of a station whose earlier events are not followed; defects that ended before are not counted."""
    roll, stop = None, None
    if snapshot.roll is not None:
        roll = RollView(
            roll_id=snapshot.roll.roll_id,
            style=snapshot.roll.style,
            started_utc=snapshot.roll.started_utc,
            is_open=True,
            woven_m=0.0 if snapshot.status is None else snapshot.status.roll_m,
            defects=len(snapshot.open_defects),
        )
    if snapshot.stop_request is not None:
        stop = PendingStop(seq=max(1, snapshot.seq), stamp_utc=now, request=snapshot.stop_request)
    return StationView(
        station=station,
        epoch=epoch,
        seq=snapshot.seq,
        stamp_utc=now,
        is_simulated=snapshot.roll is not None and snapshot.roll.is_simulated,
        status=snapshot.status,
        is_bypassed=snapshot.is_bypassed,
        roll=roll,
        engine=snapshot.engine,
        stop=stop,
    )


class _Stored(Document):
    format_version: Literal[1] = 1
    view: StationView


class ViewFile:
    """The view on disk, in the state folder of an adapter.

    Args:
        path: the file; made by the first `write`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> StationView | None:
        """The view written last; None when there is none.

        Raises:
            InputError: the file is something else.
        """
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            return _Stored.model_validate(document, extra="ignore").view
        except FileNotFoundError:
            return None
        except ValidationError as error:
            problem = first_problem(error)
        except (OSError, ValueError, RecursionError) as error:
            problem = str(error)
        raise InputError(f"{self._path}: is no view of a station ({problem}); remove it, it is made anew")

    def write(self, view: StationView) -> None:
        """Keep `view`; durable when this returns.

        Raises:
            InputError: the file cannot be written. OSError: the disk is full.
        """
        write_json(self._path, _Stored(view=view).model_dump(mode="json"))
