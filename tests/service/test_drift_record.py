"""The figures of a roll: which cells count, which pictures, and when nothing is told."""

from __future__ import annotations

import numpy as np
import pytest

from glass_edge.calibration.picture_figures import PictureFigures
from glass_edge.config.drift import DriftSettings
from glass_edge.engine.base import EngineFacts
from glass_edge.events.payloads_records import RollFigures
from glass_edge.events.schema import Draft, Event
from glass_edge.fabric.across_map import AcrossMap
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.parameters import ActiveEngine, StyleParameters
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import Segment
from glass_edge.service.drift_record import Decider, FiguresSink
from glass_edge.service.drift_scores import GoodScores

STRIDE, ROWS, CELLS = 4, 64, 250
THRESHOLD = 1.0


def strip(logits: np.ndarray, first_line: int = 0) -> ScoreStrip:
    return ScoreStrip(first_line, first_line + len(logits) * STRIDE, STRIDE, 0, logits.astype(np.float32))


def scores(seed: int = 0, n_rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(seed).normal(-6, 0.7, (n_rows, CELLS))


def quantiles(*strips: np.ndarray) -> tuple[float | None, ...]:
    good = GoodScores(THRESHOLD)
    for one in strips:
        good.add(strip(one))
    return good.quantiles()


def test_without_a_defect_every_cell_on_the_cloth_counts() -> None:
    logits = scores()
    beside = logits.copy()
    beside[:, :20] = np.nan
    exact = [np.quantile(beside[:, 20:], share, method="inverted_cdf") for share in (0.5, 0.99, 0.999)]
    assert quantiles(beside) == pytest.approx(exact, rel=2e-3)
    assert quantiles(np.full((4, CELLS), np.nan)) == (None, None, None)


def test_a_running_defect_does_not_move_the_figures() -> None:
    clean = [scores(seed) for seed in range(8)]
    marred = [one.copy() for one in clean]
    for one in marred:  # an end that is missing through the whole roll, with the skirts of smoothing
        one[:, 100:105] = [-2, 3, 8, 3, -2]
    without = [np.delete(one, range(93, 112), axis=1) for one in clean]
    assert quantiles(*marred) == pytest.approx(quantiles(*without), abs=0.05)
    assert np.quantile(np.concatenate(marred), 0.99) > -3  # as it would move them


def test_false_alarms_everywhere_are_no_defects_and_count() -> None:
    flooded = scores()
    flooded[::10, ::10] = 4.0
    assert quantiles(flooded)[1] == pytest.approx(4.0, abs=0.01)
    assert quantiles(np.full((ROWS, CELLS), 5.0)) == pytest.approx((5.0, 5.0, 5.0), abs=0.01)


class Pictures:
    """Pictures at lines."""

    def __init__(self, *pictures: tuple[int, PictureFigures]) -> None:
        self.pictures = list(pictures)

    def take(self, first_line: int, end_line: int) -> list[PictureFigures]:
        return [one for line, one in self.pictures if first_line <= line < end_line]


class Journal:
    """Keeps what is emitted."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, draft: Draft) -> Event:
        event = Event(
            **dict(draft), schema_version="1.2", station="s", epoch="0" * 32, seq=len(self.events) + 1,
            stamp_utc="2026-01-01T00:00:00Z",
        )  # fmt: skip
        self.events.append(event)
        return event

    @property
    def figures(self) -> list[RollFigures]:
        return [event.payload for event in self.events if isinstance(event.payload, RollFigures)]


def sink_of(journal: Journal, pictures: Pictures, scale: WebScale | None = None, **changes: object) -> FiguresSink:
    return FiguresSink(
        journal.emit,
        pictures,
        DriftSettings.model_validate({"least_m": 0.1} | changes),
        scale=scale or WebScale(0.1, 0.2),
        decider=Decider("a" * 64, THRESHOLD),
        is_simulated=True,
    )


def weave(sink: FiguresSink, first_line: int, *strips: np.ndarray, roll_id: str = "R") -> None:
    """A whole roll."""
    roll = Roll(roll_id, "linen", first_line)
    sink.roll_started(roll)
    sink.segment_started(Segment(first_line, ClothSpan(0, 1000), ClothSpan(0, 1000), ""))
    line = first_line
    for one in strips:
        sink.scores(strip(one, line))
        line += len(one) * STRIDE
    sink.roll_ended(roll, RollTotals(line - first_line, line - first_line, 0, 0))


USUAL = PictureFigures(100.0, 0.1, 0.3, 0.0, 6.0, 5.0)


def test_each_roll_tells_its_own_figures() -> None:
    journal = Journal()
    other = PictureFigures(50.0, 0.2, 0.1, 0.5, None, 10.0)
    sink = sink_of(journal, Pictures((0, USUAL), (200, USUAL), (700, other)))
    weave(sink, 0, scores(), scores(1), roll_id="A")
    weave(sink, 512, scores() + 2, scores(1) + 2, roll_id="B")
    one, two = journal.figures
    assert [event.roll_id for event in journal.events] == ["A", "B"]
    assert journal.events[0].is_partial
    assert (one.inspected_m, one.samples, one.mean_grey, one.saturated_share) == (0.1024, 2, 100.0, 0.0)
    assert (one.pitch_along_mm, one.pitch_across_mm) == pytest.approx((1.2, 0.5))
    assert (two.samples, two.mean_grey, two.pitch_along_mm) == (1, 50.0, None)
    assert two.score_median == pytest.approx(float(one.score_median or 0) + 2, abs=0.02)
    assert sink.last is journal.events[1]


def test_a_roll_that_is_too_short_tells_none() -> None:
    journal = Journal()
    sink = sink_of(journal, Pictures(), least_m=0.06)
    weave(sink, 0, scores())  # 64 rows of 4 lines of 0.2 mm
    assert sink.last is None
    weave(sink, 256, scores(), scores())
    assert [figures.samples for figures in journal.figures] == [0]
    assert journal.figures[0].mean_grey is None
    weave(sink, 768)
    assert sink.last is None


def test_without_any_score_a_roll_of_no_least_length_tells_none() -> None:
    journal = Journal()
    weave(sink_of(journal, Pictures((0, USUAL)), least_m=0.0), 0)
    assert journal.events == []


def test_the_figures_are_those_of_the_engine_that_decided_last() -> None:
    journal = Journal()
    sink = sink_of(journal, Pictures((0, USUAL), (300, USUAL)), least_m=0.01)
    roll = Roll("R", "linen", 0)
    sink.roll_started(roll)
    sink.scores(strip(scores() + 50))
    parameters = StyleParameters("linen", 16, 2.0, 9.0)
    facts = EngineFacts("none", "0", "cpu", "f32", 1)
    sink.engine_changed(256, ActiveEngine("2", "b" * 64, facts, STRIDE, parameters), RollTotals(256, 256, 0, 0))
    sink.scores(strip(scores(), 256))
    sink.roll_ended(roll, RollTotals(512, 512, 0, 0))
    figures = journal.figures[0]
    assert (figures.model_sha256, figures.inspected_m, figures.samples) == ("b" * 64, 0.0512, 1)
    assert figures.score_median == pytest.approx(-6, abs=0.05)
    assert sink.threshold_logit == 9.0


def test_pitch_across_goes_through_the_map_across_the_web() -> None:
    journal = Journal()
    lens = AcrossMap(np.array([0.0, 1000.0]), np.array([0.0, 200.0]))
    weave(sink_of(journal, Pictures((0, USUAL)), WebScale(0.1, 0.2, lens), least_m=0.01), 0, scores())
    assert journal.figures[0].pitch_across_mm == pytest.approx(1.0)
