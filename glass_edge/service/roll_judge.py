"""What the station says of a roll while it is woven: its grade, and when the loom should stop.

Promises: each defect counts once, when it ends; a cut mark is none; what cannot be graded is told once and stops
neither the inspection nor the stop rules.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from glass_edge.errors import InputError
from glass_edge.fabric.defect import Defect, DefectPhase
from glass_edge.fabric.fault import Fault
from glass_edge.fabric.geometry import WebScale
from glass_edge.fabric.grading import Grader
from glass_edge.fabric.grading_result import RollGrade
from glass_edge.fabric.grading_table import GradingTable
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.fabric.stop_rule import StopJudge
from glass_edge.fabric.stop_rule_values import StopDecision, StopRules
from glass_edge.inspection.sink import Segment

_MOST_GRADES = 20


@dataclass(frozen=True, slots=True)
class JudgeRules:
    """By what a roll is judged.

    Attributes:
        grading: table of points; None: rolls are not graded.
        stop: when the loom should stop; None: it is never asked.
    """

    grading: GradingTable | None = None
    stop: StopRules | None = None


class RollJudge:
    """Judges one roll after the other; used by the defects thread.

    Args:
        rules: see `JudgeRules`.
        scale: size of a pixel.

    Attributes:
        grades: of the last rolls that ended.
    """

    def __init__(self, rules: JudgeRules, scale: WebScale) -> None:
        self._rules = rules
        self._scale = scale
        self._stop = None if rules.stop is None else StopJudge(rules.stop)
        self._grader: Grader | None = None
        self._width_mm = 0.0
        self._is_refused = False
        self._length_mm = 0.0
        self.grades: deque[RollGrade] = deque(maxlen=_MOST_GRADES)

    def use(self, rules: JudgeRules) -> None:
        """The rolls that begin from now on are of another style: its table of points counts. Stop rules are the loom's,
        and what was seen before is not forgotten.
        """
        self._rules = rules
        self._is_refused = False

    def roll_started(self, roll: Roll) -> None:
        """A roll begins on cloth as wide as before."""
        del roll
        self._grader = None
        if self._width_mm:
            self._begin_grading()
        if self._stop is not None:
            self._stop.begin_roll(self._length_mm)
        self._length_mm = 0.0

    def segment_started(self, segment: Segment) -> str | None:
        """Cloth of a known width; a sentence where it cannot be graded."""
        self._width_mm = self._scale.across_mm(segment.cloth.left_px, segment.cloth.right_px)
        return self._begin_grading() if self._grader is None else None

    def _begin_grading(self) -> str | None:
        if self._rules.grading is None or self._is_refused:
            return None
        try:
            self._grader = Grader(self._rules.grading, self._width_mm)
        except InputError as error:
            self._is_refused = True
            return f"the roll is not graded: {error}"
        return None

    def take(self, defect: Defect, roll_mm: float, *, is_bypassed: bool = False) -> StopDecision | None:
        """A report of a defect with `roll_mm` of the roll woven; the stop to ask for, if there is one.

        While `is_bypassed` there is none; the defect is judged and graded all the same.
        """
        self._length_mm = max(self._length_mm, roll_mm)
        if defect.is_cut_mark:
            return None
        fault = Fault.of(defect)
        if defect.phase is DefectPhase.END and self._grader is not None:
            self._grader.add(fault)
        if self._stop is None:
            return None
        return self._stop.push(fault, defect.phase, roll_mm=roll_mm, now_s=time.monotonic(), is_bypassed=is_bypassed)

    def grade(self, totals: RollTotals) -> RollGrade | None:
        """The grade of the roll; None without a table, or where no cloth was seen."""
        if self._grader is None:
            return None
        metres = self._scale.mm_per_line / 1000
        width = totals.width
        grade = self._grader.grade(
            woven_m=totals.lines_woven * metres,
            inspected_m=totals.lines_inspected * metres,
            width_mm=None if width is None else width.mean_mm,
        )
        self.grades.append(grade)
        return grade
