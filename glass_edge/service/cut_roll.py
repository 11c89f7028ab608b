"""The end of a roll whose station died, told by the station's next start.

Promises: after it no roll of the journal is open: what was known of its defects is final, and its lines are those that
were told as inspected or missed, which add up; what was on its way through the dead process is no part of it, but of
the gap with which the next roll begins (`down_time`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import CoverageGap, RollEnd, RollStart, Status
from glass_edge.events.schema import Draft, Event, Kind
from glass_edge.events.snapshot import state_of
from glass_edge.events.wire import OpenRoll
from glass_edge.service.web_place import WebPlace

_WHY = "The station ended in the middle of the roll; what was known then is told, and the roll was not graded."


def end_cut_roll(
    reader: JournalReader, emit_all: Callable[[Sequence[Draft]], Sequence[Event]], place: WebPlace | None
) -> str | None:
    """Tell the end of the roll that is open in the journal.

    Args:
        reader: of the journal.
        emit_all: keeps and publishes drafts, all or none (`Publisher.emit_all`).
        place: how far its web was told, see `web_place.caught_up`; None: as far as the journal says.

    Returns:
        Name of the roll; None where none was open.

    Raises:
        JournalError: the journal cannot be read or written. EventFormatError: it holds a document that is no event.
    """
    state = state_of(reader)
    roll = state.roll
    if roll is None:
        return None
    (start,) = reader.newest_of_kind(Kind.ROLL_START, 1)
    gaps, told_line = _told(reader, start.seq, roll.start)
    is_of_place = place is not None and place.epoch == reader.epoch and start.seq > place.run_seq
    end_line = place.line if is_of_place and place is not None else told_line
    snapshot = state.snapshot()
    drafts = [
        _draft(roll, Kind.DEFECT_END, one, is_partial=True) for one in snapshot.open_defects
    ]  # as they were known last
    drafts.append(_draft(roll, Kind.ROLL_END, _end(roll, end_line, gaps, _found(reader, start.seq)), is_partial=False))
    emit_all(drafts)
    return roll.roll_id


def _told(reader: JournalReader, seq: int, start: RollStart) -> tuple[int, int]:
    """Lines of the roll's gaps, and the line up to which the journal itself tells of it."""
    gaps, line = 0, start.first_line
    for stored in reader.of_kind_after(Kind.COVERAGE_GAP, seq):
        payload = parse_event(stored.document).payload
        assert isinstance(payload, CoverageGap)
        gaps += payload.end_line - payload.first_line
        line = max(line, payload.end_line)
    for stored in reader.of_kind_after(Kind.STATUS, seq):
        payload = parse_event(stored.document).payload
        assert isinstance(payload, Status)
        line = max(line, start.first_line + payload.roll_lines)
    return gaps, line


def _found(reader: JournalReader, seq: int) -> int:
    """Defects of the roll, those that merged into others not counted."""
    fold = len(reader.of_kind_after(Kind.DEFECT_NEW, seq))
    for stored in reader.of_kind_after(Kind.DEFECT_END, seq):
        payload = parse_event(stored.document).payload
        fold -= getattr(payload, "merged_into", None) is not None
    return fold


def _end(roll: OpenRoll, end_line: int, missed: int, defects: int) -> RollEnd:
    woven = end_line - roll.start.first_line
    metres = roll.start.mm_per_line / 1000
    return RollEnd(
        end_line=end_line,
        lines_woven=woven,
        lines_inspected=woven - missed,
        lines_missed=missed,
        woven_m=woven * metres,
        inspected_m=(woven - missed) * metres,
        missed_m=missed * metres,
        defects=defects,
        grade_remarks=(_WHY,),
    )


def _draft(roll: OpenRoll, kind: Kind, payload: object, *, is_partial: bool) -> Draft:
    return Draft.model_validate(
        {
            "kind": kind,
            "is_simulated": roll.is_simulated,
            "is_partial": is_partial,
            "roll_id": roll.roll_id,
            "style": roll.style,
            "payload": payload,
        }
    )
