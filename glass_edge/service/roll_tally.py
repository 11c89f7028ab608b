"""What the report of a run counts.

Promises: lines and defects are the sums over all rolls of the run, faults and missed lines are counted by their kind.
"""

from __future__ import annotations

from collections import Counter

from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.coverage import CoverageGap
from glass_edge.inspection.sink import Fault, QuietSink


class RollTally(QuietSink):
    """Counts what the report of a run needs.

    Attributes:
        totals: of all rolls that ended; width of the last.
        faults: by kind.
        missed_lines: by the reason of the gap.
        rolls: that ended.
    """

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.missed_lines: Counter[str] = Counter()
        self.totals = RollTotals(0, 0, 0, 0)
        self.rolls = 0

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        """Add a roll."""
        del roll
        so_far = self.totals
        self.rolls += 1
        self.totals = RollTotals(
            so_far.lines_woven + totals.lines_woven,
            so_far.lines_inspected + totals.lines_inspected,
            so_far.lines_missed + totals.lines_missed,
            so_far.defects + totals.defects,
            totals.width,
        )

    def fault(self, fault: Fault) -> None:
        """Count it."""
        self.faults[fault.kind] += 1

    def coverage_gap(self, gap: CoverageGap) -> None:
        """Add its lines."""
        self.missed_lines[gap.reason.value] += gap.end_line - gap.first_line
