"""The state of a station as its events tell it.

Promises: the snapshot after event n is a function of the events up to n alone; starting from the journal's newest
events of each kind that matters gives the same snapshot as reading the journal from its first event, also when the
first were deleted since.
"""

from __future__ import annotations

from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import Command, DefectPayload, EngineActivated, RollStart, Status, StopAck, StopRequest
from glass_edge.events.schema import Event, Kind
from glass_edge.events.wire import OpenRoll, Snapshot

_PAGE = 1000


class StateFold:
    """Folds events, in order, into a snapshot."""

    def __init__(self) -> None:
        self._seq = 0
        self._status: Status | None = None
        self._roll: OpenRoll | None = None
        self._open_defects: dict[int, DefectPayload] = {}
        self._engine: EngineActivated | None = None
        self._stop: StopRequest | None = None
        self._is_bypassed = False
        self._is_simulated = False

    @property
    def seq(self) -> int:
        """Last event taken, 0 before the first."""
        return self._seq

    @property
    def roll(self) -> OpenRoll | None:
        """The open roll."""
        return self._roll

    @property
    def stop_request(self) -> StopRequest | None:
        """The stop request that waits for its answer."""
        return self._stop

    @property
    def is_bypassed(self) -> bool:
        """True while the stop rules are bypassed."""
        return self._is_bypassed

    @property
    def is_simulated(self) -> bool:
        """As the last event says."""
        return self._is_simulated

    def apply(self, event: Event) -> None:
        """Take the next event."""
        self._seq = event.seq
        self._is_simulated = event.is_simulated
        payload = event.payload
        if isinstance(payload, DefectPayload):
            if event.kind == Kind.DEFECT_END:
                self._open_defects.pop(payload.defect_id, None)
            else:
                self._open_defects[payload.defect_id] = payload
        elif isinstance(payload, RollStart):
            self._open_defects.clear()
            self._roll = _open_roll(event, payload)
        elif event.kind == Kind.ROLL_END:
            self._open_defects.clear()
            self._roll = None
        elif isinstance(payload, Status):
            self._status = payload
        elif isinstance(payload, EngineActivated):
            self._engine = payload
        elif isinstance(payload, StopRequest):
            self._stop = payload
        elif isinstance(payload, StopAck) and self._stop is not None:
            self._stop = None if payload.request_id == self._stop.request_id else self._stop
        elif isinstance(payload, Command) and payload.accepted and payload.is_on is not None:
            self._is_bypassed = payload.is_on

    def snapshot(self) -> Snapshot:
        """The state now."""
        return Snapshot(
            seq=self._seq,
            status=self._status,
            roll=self._roll,
            open_defects=tuple(self._open_defects[number] for number in sorted(self._open_defects)),
            engine=self._engine,
            stop_request=self._stop,
            is_bypassed=self._is_bypassed,
        )


def state_of(reader: JournalReader) -> StateFold:
    """State after the newest event of a journal, without reading more of it than is needed.

    Raises:
        JournalError: the journal cannot be read.
        EventFormatError: an event that is needed is not one.
    """
    newest = {
        Kind(parse_event(stored.document).kind): stored
        for stored in reader.last_of_kinds((Kind.STATUS, Kind.ENGINE_ACTIVATED, Kind.STOP_REQUEST, Kind.ROLL_START))
    }
    roll_start = newest.pop(Kind.ROLL_START, None)
    before_roll = list(newest.values())
    if Kind.STOP_REQUEST in newest:
        before_roll += reader.of_kind_after(Kind.STOP_ACK, newest[Kind.STOP_REQUEST].seq)
    if (bypass := reader.last_bypass()) is not None:
        before_roll.append(bypass)
    from_seq = roll_start.seq if roll_start else reader.extent().oldest
    state = StateFold()
    for stored in sorted(before_roll, key=lambda event: event.seq):
        if stored.seq < from_seq:
            state.apply(parse_event(stored.document))
    while page := reader.read(from_seq, _PAGE).events:
        for stored in page:
            state.apply(parse_event(stored.document))
        from_seq = page[-1].seq + 1
    return state


def is_bypassed(reader: JournalReader) -> bool:
    """True when the stop rules are bypassed, by the last command that said so. Raises as `state_of`."""
    state = StateFold()
    if (last := reader.last_bypass()) is not None:
        state.apply(parse_event(last.document))
    return state.is_bypassed


def _open_roll(event: Event, start: RollStart) -> OpenRoll:
    return OpenRoll(
        roll_id=event.roll_id or "",
        style=event.style or "",
        is_simulated=event.is_simulated,
        started_utc=event.stamp_utc,
        start=start,
    )
