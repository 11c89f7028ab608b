"""The figures of each roll, told before its end.

Promises: a roll of `least_m` or more tells one `roll.figures`, right before its `roll.end`; a roll that several engines
decided tells those of the last one's metres; what was not measured is null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from glass_edge.calibration.picture_figures import PictureFigures, median_picture
from glass_edge.config.drift import DriftSettings
from glass_edge.events.payloads_records import RollFigures
from glass_edge.events.schema import Draft, Event, Kind
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.parameters import ActiveEngine
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import QuietSink, Segment
from glass_edge.service.drift_scores import GoodScores


class Pictures(Protocol):
    """Where the figures of pictures come from: `DriftCamera`."""

    def take(self, first_line: int, end_line: int) -> list[PictureFigures]:
        """Those of pictures that begin in [first_line, end_line)."""


@dataclass(frozen=True, slots=True)
class Decider:
    """The engine that decides, as far as figures need it."""

    model_sha256: str
    threshold_logit: float


class FiguresSink(QuietSink):
    """Emits the figures of rolls; before the sink that emits their ends.

    Args:
        emit: keeps and publishes a draft (`Publisher.emit`).
        pictures: of the camera.
        settings: how short a roll may be.
        scale: size of a pixel.
        decider: the engine to begin with.
        is_simulated: True for replays and simulated looms.
    """

    def __init__(
        self,
        emit: Callable[[Draft], Event],
        pictures: Pictures,
        settings: DriftSettings,
        *,
        scale: WebScale,
        decider: Decider,
        is_simulated: bool,
    ) -> None:
        self._emit, self._pictures, self._settings = emit, pictures, settings
        self._scale, self._decider, self._is_simulated = scale, decider, is_simulated
        self._scores = GoodScores(decider.threshold_logit)
        self._first_line = 0
        self._cloth: ClothSpan | None = None
        self.last: Event | None = None
        """The figures of the roll that ended last; None: it has none."""

    @property
    def threshold_logit(self) -> float:
        """Threshold of the engine that decides."""
        return self._decider.threshold_logit

    def roll_started(self, roll: Roll) -> None:
        """Nothing is known of it yet."""
        self._begin(roll.first_line)

    def segment_started(self, segment: Segment) -> None:
        """Tells where the cloth lies."""
        self._cloth = segment.cloth

    def engine_changed(self, line: int, engine: ActiveEngine, so_far: RollTotals | None) -> None:
        """What was scored before is another engine's."""
        del so_far
        self._decider = Decider(engine.model_sha256, engine.parameters.threshold_logit)
        self._begin(line)

    def scores(self, strip: ScoreStrip) -> None:
        """Into the quantiles."""
        self._scores.add(strip)

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        """roll.figures."""
        pictures = self._pictures.take(self._first_line, roll.first_line + totals.lines_woven)
        inspected_m = self._scores.n_lines * self._scale.mm_per_line / 1000
        self.last = None
        if inspected_m > 0 and inspected_m >= self._settings.least_m:
            figures = self._figures(pictures, inspected_m)
            self.last = self._emit(
                Draft(
                    kind=Kind.ROLL_FIGURES,
                    is_simulated=self._is_simulated,
                    is_partial=True,
                    roll_id=roll.roll_id,
                    style=roll.style,
                    payload=figures,
                )
            )

    def _begin(self, line: int) -> None:
        self._first_line = line
        self._scores = GoodScores(self._decider.threshold_logit)

    def _figures(self, pictures: Sequence[PictureFigures], inspected_m: float) -> RollFigures:
        median, p99, p999 = self._scores.quantiles()
        seen = median_picture(pictures) if pictures else None
        along, across = (None, None) if seen is None else (seen.pitch_along_lines, seen.pitch_across_px)
        return RollFigures(
            model_sha256=self._decider.model_sha256,
            inspected_m=inspected_m,
            score_median=median,
            score_p99=p99,
            score_p999=p999,
            samples=len(pictures),
            mean_grey=None if seen is None else seen.mean_grey,
            contrast=None if seen is None else seen.contrast,
            sharpness=None if seen is None else seen.sharpness,
            saturated_share=None if seen is None else seen.saturated_share,
            pitch_along_mm=None if along is None else along * self._scale.mm_per_line,
            pitch_across_mm=None if across is None else across * self._mm_per_px(),
        )

    def _mm_per_px(self) -> float:
        """Mean width of a pixel on the cloth, mm."""
        if self._cloth is None:
            return self._scale.mm_per_px
        left, right = self._cloth.left_px, self._cloth.right_px
        return self._scale.across_mm(left, right) / (right - left)
