"""The rolls of a journal, and the record of one of them.

Promises: one moment of the journal is read, also while it is written; memory grows with the roll's defects, not with
the journal; a roll that is not there is refused with the names that come near.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from glass_edge.errors import InputError
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import StationState, Status
from glass_edge.events.schema import Event, Kind
from glass_edge.service.roll_record import RecordFold, RollPlace, RollRecord, RollState

_PAGE = 1000
_NEAREST = 3
_NO_ROLL_RUNS = frozenset({StationState.INITIALIZED, StationState.HALTED})  # told by a station when none can be open


def rolls_of(reader: JournalReader) -> list[RollPlace]:
    """All rolls whose beginning the journal keeps, the oldest first.

    Raises:
        JournalError: the journal cannot be read. EventFormatError: an event is of another version, or none.
    """
    return _rolls_up_to(reader, reader.extent().head)


def record_of(reader: JournalReader, roll_id: str | None) -> RollRecord:
    """The record of a roll; of several with this name, the last.

    Args:
        reader: an open journal.
        roll_id: name of the roll; None: the last one.

    Raises:
        InputError: there is no such roll. JournalError, EventFormatError: the journal cannot be read.
    """
    head = reader.extent().head
    places = _rolls_up_to(reader, head)
    place = _chosen(reader, places, roll_id)
    later = [other.seq for other in places if other.seq > place.seq]
    end_seq = min(later, default=head + 1)
    start = parse_event(reader.read(place.seq, 1).events[0].document)
    fold = RecordFold(place, start, _engine_before(reader, place.seq))
    from_seq = place.seq + 1
    while from_seq < end_seq and (page := reader.read(from_seq, min(_PAGE, end_seq - from_seq)).events):
        fold.apply_all(parse_event(stored.document) for stored in page)
        from_seq = page[-1].seq + 1
    return fold.record()


def _rolls_up_to(reader: JournalReader, head: int) -> list[RollPlace]:
    starts = [parse_event(stored.document) for stored in reader.of_kind_after(Kind.ROLL_START, 0) if stored.seq <= head]
    ends = [parse_event(stored.document) for stored in reader.of_kind_after(Kind.ROLL_END, 0) if stored.seq <= head]
    ended = _end_times(starts, ends)
    times: Counter[str] = Counter()
    places = []
    for start in starts:
        roll_id = start.roll_id or ""
        times[roll_id] += 1
        is_last = start is starts[-1]
        if start.seq in ended:
            state = RollState.COMPLETE
        else:
            state = RollState.OPEN if is_last and not _has_stopped(reader, start.seq, head) else RollState.CUT_OFF
        places.append(
            RollPlace(
                seq=start.seq,
                roll_id=roll_id,
                style=start.style or "",
                started_utc=start.stamp_utc,
                ended_utc=ended.get(start.seq),
                state=state,
                occurrence=times[roll_id],
            )
        )
    return places


def _end_times(starts: Sequence[Event], ends: Sequence[Event]) -> dict[int, datetime]:
    """When each roll ended, by the seq of its start: an end belongs to the newest start before it."""
    ended: dict[int, datetime] = {}
    newest = None
    for event in sorted((*starts, *ends), key=lambda event: event.seq):
        if event.kind == Kind.ROLL_START:
            newest = event
        elif newest is not None and newest.roll_id == event.roll_id:
            ended.setdefault(newest.seq, event.stamp_utc)
    return ended


def _has_stopped(reader: JournalReader, seq: int, head: int) -> bool:
    """Whether the station has begun anew, or ended, since `seq`."""
    for stored in reader.of_kind_after(Kind.STATUS, seq):
        payload = parse_event(stored.document).payload
        if stored.seq <= head and isinstance(payload, Status) and payload.state in _NO_ROLL_RUNS:
            return True
    return False


def _engine_before(reader: JournalReader, seq: int) -> Event | None:
    before = [stored for stored in reader.of_kind_after(Kind.ENGINE_ACTIVATED, 0) if stored.seq < seq]
    return parse_event(before[-1].document) if before else None


def _chosen(reader: JournalReader, places: Sequence[RollPlace], roll_id: str | None) -> RollPlace:
    if not places:
        raise InputError(f"{reader.path}: holds no roll; give the journal of a station that has woven one")
    if roll_id is None:
        return places[-1]
    named = [place for place in places if place.roll_id == roll_id]
    if named:
        return named[-1]
    names = list(dict.fromkeys(place.roll_id for place in reversed(places)))
    nearest = difflib.get_close_matches(roll_id, names, _NEAREST, cutoff=0.5)
    words = f"the nearest are {_listed(nearest)}" if nearest else f"the last are {_listed(names[:_NEAREST])}"
    raise InputError(f"{reader.path}: no roll '{roll_id}'; {words} (--list shows all)")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
