"""Does the good cloth drift? Looked at when a roll has ended, and told.

Promises: a figure that leaves its control chart is told once when it begins (`drift_<figure>`) and once when it is over
(`drift_<figure>_over`), and again with the first roll after a start of the station while it lasts; nothing ends the
inspection. What is known of earlier rolls comes from the journal and from the file of baselines beside it; a problem
with these is told as `drift_failed`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from glass_edge.config.drift import DriftSettings
from glass_edge.errors import InputError
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.schema import Event
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.sink import Fault, QuietSink
from glass_edge.service.drift_camera import FAILED_FAULT
from glass_edge.service.drift_history import ChartKey, DriftHistory, FigureChart
from glass_edge.service.drift_memory import DriftMemory, RollValue, change_memory, drift_memory_path, load_memory
from glass_edge.service.drift_record import FiguresSink


class DriftWatch:
    """What a station knows of its rolls.

    Args:
        settings: table `[drift]`.
        journal: of the station.
    """

    def __init__(self, settings: DriftSettings, journal: Path) -> None:
        self.settings, self._path = settings, drift_memory_path(journal)
        self._history = DriftHistory(settings)
        self._epoch = ""
        self._lasting: dict[str, tuple[ChartKey, frozenset[str]]] = {}  # by style, of the model that decided last
        self._to_tell_again: set[str] = set()  # styles
        self._problem: str | None = None

    def recall(self, reader: JournalReader) -> None:
        """Learn of earlier rolls.

        Raises:
            JournalError: the journal cannot be read. EventFormatError: it holds a document that is no event.
        """
        self._epoch = reader.epoch
        self._history.recall(reader)
        memory, _ = self._memory()  # a problem is told with the next roll
        for key in self._history.keys:
            charts = self._history.charts(key, memory.of(key.style, key.model_sha256))
            self._lasting[key.style] = key, _alarms(charts)
            self._to_tell_again.add(key.style)

    def add(self, event: Event, threshold_logit: float) -> list[Fault]:
        """Look at the charts with one more roll; what is to be told.

        Args:
            event: a `roll.figures`.
            threshold_logit: of the engine that decided.
        """
        key = self._history.add(event)
        if key is None:
            return []
        memory, problem = self._memory()
        charts = self._history.charts(key, memory.of(key.style, key.model_sha256))
        problem = problem or self._keep(memory, key, charts)
        told = []
        if problem is not None and problem != self._problem:
            told.append(Fault(FAILED_FAULT, f"the baselines of drift are not kept: {problem}"))
        self._problem = problem
        return told + self._turns(key, charts, threshold_logit)

    def _memory(self) -> tuple[DriftMemory, str | None]:
        """What is kept, and why it cannot be read."""
        try:
            return load_memory(self._path).in_epoch(self._epoch), None
        except InputError as error:
            return DriftMemory(), str(error)

    def _keep(self, memory: DriftMemory, key: ChartKey, charts: tuple[FigureChart, ...]) -> str | None:
        """Write what the baselines have become; why that failed."""
        kept = memory.of(key.style, key.model_sha256)
        figures = {one.figure.name: one.first for one in charts if one.first}
        longer = {name: first for name, first in figures.items() if len(first) > len(kept.figures.get(name, ()))}
        if not longer:
            return None
        figures = kept.figures | longer
        try:
            change_memory(self._path, lambda now: self._changed(now, kept.after_seq, key, figures))
        except (InputError, OSError) as error:
            return str(error)
        return None

    def _changed(
        self, now: DriftMemory, after_seq: int, key: ChartKey, figures: dict[str, tuple[RollValue, ...]]
    ) -> DriftMemory:
        """The file with longer baselines, unless a person has begun them anew just now."""
        here = now.in_epoch(self._epoch)
        kept = here.of(key.style, key.model_sha256)
        if kept.after_seq != after_seq:
            return here
        return here.having(kept.model_copy(update={"figures": figures}))

    def _turns(self, key: ChartKey, charts: tuple[FigureChart, ...], threshold_logit: float) -> list[Fault]:
        alarms = _alarms(charts)
        last_key, before = self._lasting.get(key.style, (key, frozenset()))
        is_again = key.style in self._to_tell_again
        self._to_tell_again.discard(key.style)
        self._lasting[key.style] = key, alarms
        is_other_model = last_key != key
        told = []
        for one in charts:
            name = one.figure.name
            if name in before and (is_other_model or name not in alarms):
                told.append(Fault(f"{one.figure.code}_over", _over(one, key, is_other_model=is_other_model)))
            if name in alarms and (name not in before or is_again or is_other_model):
                told.append(Fault(one.figure.code, _begun(one, key, threshold_logit)))
        return told


def _alarms(charts: tuple[FigureChart, ...]) -> frozenset[str]:
    return frozenset(one.figure.name for one in charts if one.is_alarm)


def _begun(one: FigureChart, key: ChartKey, threshold_logit: float) -> str:
    """The drift in words: which figure, from what to what, what to do."""
    assert one.chart is not None
    figure, chart, point = one.figure, one.chart, one.chart.points[-1]
    centre = chart.baseline.centre
    unit = f" {figure.unit}" if figure.unit else ""
    if point.is_level_out or not point.is_trend_out:
        is_above, reach = point.value > centre, chart.level_reach
        now = f"{_number(point.value)}{unit} in roll {one.later[-1].roll_id}"
        what = "single rolls"
    else:
        is_above, reach = point.trend > centre, point.trend_reach
        now = f"{_number(point.trend)}{unit} in the weighted mean up to roll {one.later[-1].roll_id}"
        what = "that mean"
    threshold = ""
    if figure.name.startswith("score_") and is_above:
        threshold = f"; the threshold is {_number(threshold_logit)}"
    return (
        f"{figure.title}: {now}, and the first {len(one.first)} rolls of {key.style} had {_number(centre)} ({what} "
        f"{_number(centre - reach)} to {_number(centre + reach)}){threshold}; "
        f"{figure.above if is_above else figure.below or figure.above}"
    )


def _over(one: FigureChart, key: ChartKey, *, is_other_model: bool) -> str:
    title = one.figure.title
    if is_other_model:
        return f"{title}: another engine decides on {key.style}, and its rolls are compared among themselves"
    if one.chart is None or not one.later:
        return f"{title}: the rolls of {key.style} are compared anew from now on"
    return (
        f"{title} is back: {_number(one.later[-1].value)} in roll {one.later[-1].roll_id}, and the first "
        f"{len(one.first)} rolls of {key.style} had {_number(one.chart.baseline.centre)}"
    )


def _number(value: float) -> str:
    return f"{value:.4g}"


class DriftSink(QuietSink):
    """Has the charts looked at when a roll has ended; after the sink that emits its end.

    Args:
        watch: of the station.
        figures: who tells the figures of rolls.
        tell: where faults go.
    """

    def __init__(self, watch: DriftWatch, figures: FiguresSink, tell: Callable[[Fault], object]) -> None:
        self._watch, self._figures, self._tell = watch, figures, tell

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        """The charts with this roll."""
        del roll, totals
        if (event := self._figures.last) is not None:
            for fault in self._watch.add(event, self._figures.threshold_logit):
                self._tell(fault)
