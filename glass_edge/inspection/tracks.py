"""A fault being followed: the components that belong to it, and which others may join.

Promises: pure rules on boxes in cells, so that what joins is decided by where components lie, not by when they came.
One thing is left to when: a part is judged by as much of it as had come when it was announced. It may widen later, and
one that stays weak or small for more than a gap is not waited for.

A broken end shows as a row of marks along the web, a faulty pick as a row across it. The rules:
- along: a component goes on with a fault when at most `run_gap` rows lie between the fault's last part and it, both
  are narrow, and together they still are;
- across: a closed component belongs to a fault whose nearest part lies at most `run_gap` columns beside it, when both
  are flat, and together they still are;
- narrow is at most `run_width` across, flat at most `run_width` along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from glass_edge.fabric.geometry import MmBox
from glass_edge.inspection.blobs import Blob

_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class RunRules:
    """Sizes of the rules in cells; gaps of 0: nothing is joined.

    Attributes:
        gap_rows, gap_columns: longest stretch without alarm in a row of parts, along and across.
        width_columns, width_rows: greatest extent across and along of a part and of the row.
        reach_rows: rows without alarm after which a component is complete.
    """

    gap_rows: int
    gap_columns: int
    width_columns: int
    width_rows: int
    reach_rows: int = 0


@dataclass(slots=True, eq=False)
class Track:
    """An announced fault.

    Attributes:
        defect_id: its id.
        selvedge_px: column of the left selvedge where the fault begins.
        closed: the parts that are complete, as one record; None: none is.
        open: parts that may still grow.
        last: the part that closed last, for the rule along the web.
        parts: components that joined.
        reported_mm: box at the last report.
    """

    defect_id: int
    open: list[Blob]
    selvedge_px: int = 0
    closed: Blob | None = None
    last: Blob | None = None
    parts: int = 1
    reported_mm: MmBox = field(default_factory=lambda: MmBox(0.0, 0.0, 0.0, 0.0))

    def whole(self) -> Blob:
        """All parts as one record."""
        parts = [*([self.closed] if self.closed is not None else []), *self.open]
        whole = parts[0].copy()
        for part in parts[1:]:
            whole.absorb(part)
        return whole

    def first_row(self) -> int:
        """First row of all parts."""
        parts = [*self.open, *([self.closed] if self.closed is not None else [])]
        return min((part.first_row for part in parts), default=_NEVER)

    def close(self, part: Blob) -> None:
        """A part is complete."""
        self.open.remove(part)
        if self.closed is None:
            self.closed = part.copy()
        else:
            self.closed.absorb(part)
        if self.last is None or part.end_row >= self.last.end_row:
            self.last = part

    def take_over(self, other: Track) -> None:
        """All parts of `other` belong to this fault from now on."""
        self.parts += other.parts
        if other.first_row() < self.first_row():
            self.selvedge_px = other.selvedge_px
        for part in other.open:
            part.defect_id = self.defect_id
            self.open.append(part)
        if other.closed is not None:
            if self.closed is None:
                self.closed = other.closed.copy()
            else:
                self.closed.absorb(other.closed)
        if other.last is not None and (self.last is None or other.last.end_row >= self.last.end_row):
            self.last = other.last


def goes_on(track: Track, part: Blob, rules: RunRules) -> bool:
    """Whether `part`, not yet of any fault, goes on with the fault along the web."""
    if rules.gap_rows == 0:
        return False
    before = [*track.open, *([track.last] if track.last is not None else [])]
    return any(
        max(part.first_row - other.end_row, other.first_row - part.end_row) <= rules.gap_rows
        and max(part.end_column, other.end_column) - min(part.first_column, other.first_column) <= rules.width_columns
        for other in before
    )


def lies_beside(track: Track, part: Blob, rules: RunRules) -> bool:
    """Whether the closed `part` is one more of the fault's parts across the web."""
    if rules.gap_columns == 0 or track.open or track.closed is None:
        return False
    whole = track.closed
    together = max(part.end_row, whole.end_row) - min(part.first_row, whole.first_row)
    gap = max(part.first_column - whole.end_column, whole.first_column - part.end_column)
    return together <= rules.width_rows and gap <= rules.gap_columns


def is_finished(track: Track, row: int, rules: RunRules) -> bool:
    """Whether no component that begins at or after `row` can join; open parts are the caller's to look for."""
    last, whole = track.last, track.closed
    if last is None or whole is None:
        return False
    narrow = last.end_column - last.first_column <= rules.width_columns
    waits_along = rules.gap_rows > 0 and narrow and row - last.end_row <= rules.gap_rows
    flat = whole.end_row - whole.first_row <= rules.width_rows
    waits_across = rules.gap_columns > 0 and flat and row - whole.first_row <= rules.width_rows + rules.reach_rows
    return not (waits_along or waits_across)


def waits_for(track: Track, weak: Sequence[Blob], row: int, rules: RunRules) -> bool:
    """Whether one of the components that are too weak or small so far may still go on with the fault.

    They are waited for over one more gap, so that no faint streak keeps a fault open for ever.
    """
    if track.last is None or row - track.last.end_row > 2 * rules.gap_rows:
        return False
    return any(goes_on(track, part, rules) for part in weak)
