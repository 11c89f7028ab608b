"""The rolls of a station, and the charts of their figures.

Promises: charts are of one style by one model, which are never compared with others; each figure has its own: its
baseline is the first `least_rolls` rolls that have it. The same rolls give the same charts. Memory is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glass_edge.calibration.control_chart import Chart, ChartRules, baseline_of, draw_chart
from glass_edge.config.drift import DriftSettings
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads_records import RollFigures
from glass_edge.events.schema import Event, Kind
from glass_edge.service.drift_figures import CHARTED, ChartedFigure
from glass_edge.service.drift_memory import KeptBaseline, RollValue

MOST_ROLLS = 400
MOST_RECALLED = 2000
_MOST_KEYS = 64
_MOST_ODD = 0.25


@dataclass(frozen=True, slots=True)
class ChartKey:
    """What is charted together."""

    style: str
    model_sha256: str


@dataclass(frozen=True, slots=True)
class FigureChart:
    """Chart of a figure.

    Attributes:
        figure: which.
        first: rolls of the baseline so far.
        later: rolls that are judged, as many as the chart's points.
        chart: None: there are too few rolls to say anything, or the first ones do not agree.
        is_uneven: more than a quarter of the baseline is odd: two rhythms of a weave, say, now one, now the other.
    """

    figure: ChartedFigure
    first: tuple[RollValue, ...]
    later: tuple[RollValue, ...]
    chart: Chart | None
    is_uneven: bool = False

    @property
    def is_alarm(self) -> bool:
        """Out of control at the last roll."""
        return self.chart is not None and self.chart.is_alarm

    @property
    def limits(self) -> tuple[float, ...]:
        """Of single rolls: the lower, where there is one, and the upper; empty without a chart."""
        if self.chart is None:
            return ()
        centre, reach = self.chart.baseline.centre, self.chart.level_reach
        return (centre - reach, centre + reach) if self.figure.below else (centre + reach,)


@dataclass(frozen=True, slots=True)
class _Roll:
    seq: int
    roll_id: str
    figures: RollFigures


class DriftHistory:
    """Rolls by style and model.

    Args:
        settings: how many rolls a baseline has, and the limits.
        most_rolls: kept of a style and model.
    """

    def __init__(self, settings: DriftSettings, most_rolls: int = MOST_ROLLS) -> None:
        self._least_rolls = settings.least_rolls
        limits = settings.limits
        self._rules = ChartRules(
            limits.level_sigmas, limits.trend_sigmas, limits.trend_weight, clear_rolls=limits.clear_rolls
        )
        self._most_rolls = most_rolls
        self._rolls: dict[ChartKey, deque[_Roll]] = {}

    @property
    def keys(self) -> tuple[ChartKey, ...]:
        """All styles and models, that of the newest roll last."""
        return tuple(self._rolls)

    def add(self, event: Event) -> ChartKey | None:
        """A roll's figures, later than those before; None: it is another event."""
        figures = event.payload
        if not isinstance(figures, RollFigures) or event.style is None or event.roll_id is None:
            return None
        key = ChartKey(event.style, figures.model_sha256)
        rolls = self._rolls.pop(key, deque(maxlen=self._most_rolls))
        rolls.append(_Roll(event.seq, event.roll_id, figures))
        self._rolls[key] = rolls
        while len(self._rolls) > _MOST_KEYS:
            del self._rolls[next(iter(self._rolls))]
        return key

    def recall(self, reader: JournalReader, most: int = MOST_RECALLED) -> None:
        """The newest rolls of the journal.

        Raises:
            JournalError: it cannot be read. EventFormatError: it holds a document that is no event.
        """
        for stored in reader.newest_of_kind(Kind.ROLL_FIGURES, most):
            self.add(parse_event(stored.document))

    def charts(self, key: ChartKey, kept: KeptBaseline) -> tuple[FigureChart, ...]:
        """Charts of all figures, with the baseline as it is kept."""
        rolls = [roll for roll in self._rolls.get(key, ()) if roll.seq > kept.after_seq]
        return tuple(self._chart(figure, rolls, kept.figures.get(figure.name, ())) for figure in CHARTED)

    def _chart(self, figure: ChartedFigure, rolls: Sequence[_Roll], first: tuple[RollValue, ...]) -> FigureChart:
        told_to = first[-1].seq if first else 0
        values = list(first)
        for roll in rolls:
            value = figure.of(roll.figures)
            if value is not None and roll.seq > told_to:
                values.append(RollValue(seq=roll.seq, roll_id=roll.roll_id, value=value))
        base, later = tuple(values[: self._least_rolls]), tuple(values[self._least_rolls :])
        if len(base) < self._least_rolls:
            return FigureChart(figure, base, later, None)
        numbers = [one.value for one in base]
        baseline = baseline_of(numbers, figure.sigma_floor(numbers))
        if np.count_nonzero(baseline.is_odd) > _MOST_ODD * len(base):
            return FigureChart(figure, base, later, None, is_uneven=True)
        judged = [one.value for one in later]
        return FigureChart(figure, base, later, draw_chart(baseline, judged, self._rules, upper_only=not figure.below))
