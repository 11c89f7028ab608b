"""What an inspection looks like on a terminal, in a log file, and in a JSON summary.

Promises: one line a defect when it begins and one when it ends, one a fault, one a gap (the edges of segments are only
summed up); a progress bar on a terminal, plain lines otherwise; with JSON nothing is printed before the summary.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from glass_edge.calibration.alarm_rate import MOST_ALARMS, alarm_rate
from glass_edge.fabric.defect import Defect, DefectPhase
from glass_edge.fabric.geometry import WebScale
from glass_edge.fabric.grading_result import RollGrade
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.coverage import CoverageGap, GapReason
from glass_edge.inspection.parameters import ActiveEngine
from glass_edge.inspection.sink import DefectCrop, Fault, Latency, QuietSink, Segment
from glass_edge.inspection.sink import Progress as InspectionProgress
from glass_edge.service.roll_job import RollReport


class ConsoleSink(QuietSink):
    """Prints what is found; used around `Station.inspect`.

    Args:
        total_lines: lines to come, for the progress bar; None when nobody knows.
        quiet: print nothing (a JSON summary follows); faults still go to standard error.
        keep_defects: remember the ended defects for a summary; not for a roll without end.
        tell_faults: False: not even faults, which are logged elsewhere.
    """

    def __init__(
        self, total_lines: int | None, *, quiet: bool = False, keep_defects: bool = True, tell_faults: bool = True
    ) -> None:
        self._console = Console(soft_wrap=True, highlight=False, markup=False, quiet=quiet)
        self._errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, quiet=not tell_faults)
        self._total = total_lines
        self._keep = keep_defects
        self._bar: Progress | None = None
        if self._console.is_terminal and not quiet:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:.0f} lines, {task.fields[rate]:.0f} lines/s"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
        self._task: TaskID | None = None
        self._source = ""
        self.defects: list[Defect] = []

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("inspecting", total=self._total, rate=0.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text)

    def roll_started(self, roll: Roll) -> None:
        """The roll's name."""
        self.say(f"roll {roll.roll_id}, style {roll.style}")

    def segment_started(self, segment: Segment) -> None:
        """Remembers which image is played."""
        self._source = segment.source

    def engine_changed(self, line: int, engine: ActiveEngine, so_far: RollTotals | None) -> None:
        """The engine that decides from now on."""
        del so_far
        self.say(f"engine {engine.parameters.style} {engine.version} decides from web line {line} on")

    def defect(self, defect: Defect, crop: DefectCrop | None) -> None:
        """A line when it begins and when it ends."""
        del crop
        if defect.phase is DefectPhase.UPDATE:
            return
        self.say(describe_defect(defect, self._source))
        if defect.phase is DefectPhase.END and defect.merged_into is None and self._keep:
            self.defects.append(defect)

    def coverage_gap(self, gap: CoverageGap) -> None:
        """A line for what should not have happened."""
        if gap.reason is GapReason.SEGMENT_EDGE:
            return
        start_m, end_m = gap.along_mm / 1000, (gap.along_mm + gap.length_mm) / 1000
        detail = f" ({gap.detail})" if gap.detail else ""
        self.say(f"gap    {start_m:9.3f} m to {end_m:.3f} m not inspected: {gap.reason.value}{detail}")

    def fault(self, fault: Fault) -> None:
        """Faults go to standard error."""
        self._errors.print(f"fault  {fault.kind}: {fault.message}")

    def progress(self, progress: InspectionProgress) -> None:
        """Moves the bar."""
        if self._bar is not None and self._task is not None:
            done = progress.lines_inspected + progress.lines_missed
            self._bar.update(self._task, completed=done, rate=progress.lines_per_s)


def describe_defect(defect: Defect, source: str = "") -> str:
    """A defect in one line."""
    box = defect.box_mm
    where = f"  {source}" if source else ""
    merged = f"  merged into #{defect.merged_into}" if defect.merged_into is not None else ""
    return (
        f"{defect.phase.value:<5}  #{defect.defect_id:<4} {defect.shape.value:<10} {box.along_mm / 1000:9.3f} m along "
        f"{box.across_mm:8.1f} mm across  {box.width_mm:6.1f} x {box.length_mm:.1f} mm  score {defect.peak_score:.3f}"
        f"{where}{merged}"
    )


def print_summary(sink: ConsoleSink, report: RollReport, scale: WebScale) -> None:
    """The closing lines of a roll."""
    totals, progress = report.totals, report.progress

    def metres(lines: int) -> str:
        return f"{lines * scale.mm_per_line / 1000:.3f} m"

    reasons = ", ".join(f"{reason} {metres(lines)}" for reason, lines in sorted(report.missed_lines.items()))
    sink.say(
        f"{metres(totals.lines_woven)} woven: {metres(totals.lines_inspected)} inspected, "
        f"{metres(totals.lines_missed)} not" + (f" ({reasons})" if reasons else "")
    )
    if report.rolls > 1:
        sink.say(f"{report.rolls} rolls")
    for grade in report.grades:
        sink.say(_grade(grade))
    inspected_m = totals.lines_inspected * scale.mm_per_line / 1000
    if report.promised_per_100m is not None and inspected_m > 0 and totals.defects <= MOST_ALARMS:
        sink.say(f"alarms: {alarm_rate(totals.defects, inspected_m).describe(report.promised_per_100m)}")
    sink.say(
        f"{totals.defects} defect{'' if totals.defects == 1 else 's'}; {progress.tiles} tiles, "
        f"{progress.tiles_per_s:.1f} tiles/s, {progress.lines_per_s:.0f} lines/s in {progress.elapsed_s:.1f} s"
    )
    if progress.latency_new.count:
        sink.say(f"latency: new {_latency(progress.latency_new)}, end {_latency(progress.latency_end)}")


def _grade(grade: RollGrade) -> str:
    """The grade of a roll in a line."""
    area = "" if grade.points_per_100_m2 is None else f", {grade.points_per_100_m2:.1f} on 100 m2"
    verdict = "first quality" if grade.is_first_quality else "not first quality"
    why = "; ".join([*grade.reasons, *grade.remarks])
    return f"grade ({grade.table}): {grade.total_points} points{area}: {verdict}" + (f" ({why})" if why else "")


def _latency(latency: Latency) -> str:
    return f"{latency.mean_s * 1000:.0f} ms (largest {latency.max_s * 1000:.0f} ms)"


def summary_document(sink: ConsoleSink, report: RollReport, scale: WebScale) -> dict[str, Any]:
    """The same as JSON."""
    totals, progress = report.totals, report.progress

    def metres(lines: int) -> float:
        return lines * scale.mm_per_line / 1000

    return {
        "woven_m": metres(totals.lines_woven),
        "inspected_m": metres(totals.lines_inspected),
        "missed_m": metres(totals.lines_missed),
        "missed_by_reason_m": {reason: metres(lines) for reason, lines in sorted(report.missed_lines.items())},
        "lines_woven": totals.lines_woven,
        "lines_inspected": totals.lines_inspected,
        "lines_missed": totals.lines_missed,
        "defects": totals.defects,
        "found": [_defect_document(defect) for defect in sink.defects],
        "faults": dict(sorted(report.faults.items())),
        "grades": [
            {
                "table": grade.table,
                "points": grade.total_points,
                "points_per_100_m2": grade.points_per_100_m2,
                "is_first_quality": grade.is_first_quality,
                "reasons": list(grade.reasons),
                "remarks": list(grade.remarks),
            }
            for grade in report.grades
        ],
        "was_stopped": report.was_stopped,
        "seconds": progress.elapsed_s,
        "tiles": progress.tiles,
        "tiles_per_s": progress.tiles_per_s,
        "lines_per_s": progress.lines_per_s,
        "latency_new_s": {"mean": progress.latency_new.mean_s, "max": progress.latency_new.max_s},
        "latency_end_s": {"mean": progress.latency_end.mean_s, "max": progress.latency_end.max_s},
    }


def _defect_document(defect: Defect) -> dict[str, Any]:
    box = defect.box_mm
    return {
        "defect_id": defect.defect_id,
        "class": defect.shape.value,
        "along_mm": box.along_mm,
        "across_mm": box.across_mm,
        "width_mm": box.width_mm,
        "length_mm": box.length_mm,
        "area_mm2": defect.area_mm2,
        "peak_score": defect.peak_score,
        "peak_logit": defect.peak_logit,
    }
