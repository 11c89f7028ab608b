"""When the loom should stop: rules over the defects of a roll.

Promises: at most one request in the shortest time and length between two; a cause that is still there is not asked
about twice; a defect that grew together with another never counts by itself. Each request says why, with the figures.
Memory is bounded; no clock is read: time and metres come from the caller.

A request that the limits hold back is not sent later by itself: a cause that lasts (a defect still open, a place where
defects go on) asks again with the next report, one that is over does not.

A stop is a request with a handshake, never a safety function.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from glass_edge.fabric.defect import DefectPhase, DefectShape
from glass_edge.fabric.fault import Fault
from glass_edge.fabric.stop_rule_history import History, Place, tightest
from glass_edge.fabric.stop_rule_patterns import OpenPatterns, RateLimit
from glass_edge.fabric.stop_rule_period import Period, find_period
from glass_edge.fabric.stop_rule_values import StopCause, StopDecision, StopRules


class StopJudge:
    """Applies the rules to the reports of defects, in the order in which they come.

    Args:
        rules: the station's rules.
    """

    def __init__(self, rules: StopRules) -> None:
        self._rules = rules
        self._limit = RateLimit(rules.min_interval_s, rules.min_interval_mm)
        self._held_back = 0
        self._start()

    @property
    def held_back(self) -> int:
        """Reports that would have been a request but for the limits, or the bypass."""
        return self._held_back

    def begin_roll(self, previous_roll_mm: float) -> None:
        """Start a new roll on the same loom: defects and causes are forgotten, the limits between requests are not.

        Args:
            previous_roll_mm: length of the roll before, mm.
        """
        self._limit.shift(-previous_roll_mm)
        self._start()

    def push(
        self, fault: Fault, phase: DefectPhase, *, roll_mm: float, now_s: float, is_bypassed: bool = False
    ) -> StopDecision | None:
        """Take the report of a defect; returns the request to send, or None.

        Args:
            fault: the defect as it is now.
            phase: new, update or end.
            roll_mm: cloth of the roll woven so far, mm.
            now_s: monotonic time, s.
            is_bypassed: ask for nothing now; what goes on afterwards is asked for then.
        """
        has_ended = phase is DefectPhase.END
        is_counted = has_ended and fault.merged_into is None
        place = self._history.add(fault) if is_counted else None
        decision = next(self._single(fault, has_ended), None) or (self._several(fault, place) if place else None)
        if decision is not None and (is_bypassed or not self._limit.allows(roll_mm, now_s)):
            self._held_back += 1
            decision = None
        if decision is not None:
            self._limit.note(roll_mm, now_s)
            self._remember(decision, place)
        if has_ended:
            self._close(fault)
        return decision

    def _start(self) -> None:
        self._history = History(self._rules.look_back_mm)
        self._patterns = OpenPatterns(self._rules.look_back_mm)
        self._asked: set[tuple[StopCause, int]] = set()  # of open defects
        self._is_dense = False

    def _single(self, fault: Fault, has_ended: bool) -> Iterator[StopDecision]:
        """Causes that lie in one defect."""
        where = f"{fault.centre_across_mm:.0f} mm across, {fault.along_mm / 1000:.2f} m along"
        if self._rules.hole and fault.is_hole and not self._was_asked(StopCause.HOLE, fault):
            reason = f"hole #{fault.defect_id} of {fault.width_mm:.1f} x {fault.length_mm:.1f} mm at {where}"
            yield _decision(StopCause.HOLE, reason, fault)
        above_mm = self._rules.running_above_mm
        is_along = fault.is_running or fault.shape is DefectShape.WARP_LINE
        if above_mm is None or has_ended or not is_along or fault.length_mm <= above_mm:
            return
        if not self._was_asked(StopCause.RUNNING, fault):
            reason = (
                f"#{fault.defect_id} at {where} still runs after {fault.length_mm:.0f} mm; {above_mm:g} mm are allowed"
            )
            yield _decision(StopCause.RUNNING, reason, fault)

    def _several(self, fault: Fault, place: Place) -> StopDecision | None:
        """Causes that lie in several ended defects, `fault` the last of them to end."""
        self._patterns.forget(place.along_mm)
        is_dense = self._dense(fault, place)
        if is_dense is None:
            self._is_dense = False
        return self._periodic(fault, place) or self._repeat(fault, place) or (None if self._is_dense else is_dense)

    def _dense(self, fault: Fault, place: Place) -> StopDecision | None:
        rule = self._rules.dense
        if rule is None:
            return None
        group = tightest(self._history.all(), place, rule.defects)
        if not group or _span_mm(group) > rule.within_mm:
            return None
        reason = (
            f"{len(group)} defects within {_span_mm(group) / 1000:.2f} m, from {group[0].along_mm / 1000:.2f} m along; "
            f"{rule.defects} within {rule.within_mm / 1000:g} m are too many"
        )
        return _decision(StopCause.DENSE, reason, fault, group)

    def _repeat(self, fault: Fault, place: Place) -> StopDecision | None:
        rule = self._rules.repeat
        if rule is None or place.width_mm > rule.widest_mm:
            return None
        column = self._history.near(place, rule.across_tolerance_mm, rule.widest_mm)
        group = tightest(column, place, rule.defects)
        if not group or _span_mm(group) > rule.within_mm:
            return None
        causes = (StopCause.REPEAT, StopCause.PERIODIC)  # a period is a repeat that says more
        if self._patterns.is_open(causes, place, rule.across_tolerance_mm):
            return None
        reason = (
            f"{len(group)} defects at {place.across_mm:.0f} mm across within {_span_mm(group) / 1000:.2f} m; "
            f"{rule.defects} within {rule.within_mm / 1000:g} m are too many at one place"
        )
        return _decision(StopCause.REPEAT, reason, fault, group)

    def _periodic(self, fault: Fault, place: Place) -> StopDecision | None:
        rule = self._rules.periodic
        if rule is None:
            return None
        column = self._history.near(place, rule.across_tolerance_mm)
        last_mm = column[-1].along_mm
        column = [other for other in column if other.along_mm > last_mm - rule.within_mm]
        window_mm = min(rule.within_mm, last_mm - self._history.kept_from_mm)
        period = find_period([other.along_mm for other in column], window_mm, rule)
        if period is None:
            return None
        if self._patterns.is_open((StopCause.PERIODIC,), place, rule.across_tolerance_mm):
            return None
        reason = (
            f"every {period.period_mm:.1f} mm a defect at {place.across_mm:.0f} mm across: {period.hits} of "
            f"{period.teeth} places up to {last_mm / 1000:.2f} m along; chance gives that with less than "
            f"{rule.false_alarm:g}"
        )
        on_comb = [other for other in column if _is_on(period, last_mm - other.along_mm, rule.along_tolerance_mm)]
        return _decision(StopCause.PERIODIC, reason, fault, on_comb, period.period_mm)

    def _was_asked(self, cause: StopCause, fault: Fault) -> bool:
        return (cause, fault.defect_id) in self._asked or (cause, fault.merged_into) in self._asked

    def _remember(self, decision: StopDecision, place: Place | None) -> None:
        if decision.cause is StopCause.DENSE:
            self._is_dense = True
        elif decision.cause in (StopCause.REPEAT, StopCause.PERIODIC) and place is not None:
            self._patterns.open(decision.cause, place)
        else:
            self._asked.add((decision.cause, decision.defect_id))

    def _close(self, fault: Fault) -> None:
        """An ended defect is open no more; what was asked about it holds for the older one that includes it now."""
        for cause in (StopCause.HOLE, StopCause.RUNNING):
            if (cause, fault.defect_id) in self._asked:
                self._asked.remove((cause, fault.defect_id))
                if fault.merged_into is not None:
                    self._asked.add((cause, fault.merged_into))


def _span_mm(places: Sequence[Place]) -> float:
    return places[-1].along_mm - places[0].along_mm


def _is_on(period: Period, back_mm: float, tolerance_mm: float) -> bool:
    """Whether a defect `back_mm` before the last tooth lies on one of the teeth."""
    steps = round(back_mm / period.period_mm)
    return steps < period.teeth and abs(back_mm - steps * period.period_mm) <= tolerance_mm


def _decision(
    cause: StopCause, reason: str, fault: Fault, places: Sequence[Place] = (), period_mm: float | None = None
) -> StopDecision:
    ids = tuple(place.defect_id for place in places) or (fault.defect_id,)
    return StopDecision(
        cause, reason, fault.defect_id, fault.along_mm, fault.centre_across_mm, ids, period_mm=period_mm
    )
