"""The charts of a station: told once, over once, known over restarts, pruned journals and new ones."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from glass_edge.config.drift import DriftSettings
from glass_edge.events.journal import Journal
from glass_edge.events.payloads_records import RollFigures
from glass_edge.events.schema import Draft, Event
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.sink import Fault
from glass_edge.service.drift_figures import CHARTED
from glass_edge.service.drift_history import DriftHistory
from glass_edge.service.drift_memory import (
    DriftMemory,
    KeptBaseline,
    RollValue,
    change_memory,
    drift_memory_path,
    load_memory,
)
from glass_edge.service.drift_watch import DriftSink, DriftWatch

SETTINGS = DriftSettings(least_rolls=10)
MODEL = "a" * 64


def draft(number: int, *, style: str = "linen", model: str = MODEL, **changes: float | None) -> Draft:
    """Figures of a roll that is as good as any other; they differ a little from roll to roll."""
    away = np.random.default_rng(number).standard_normal(9)
    usual: dict[str, float | None] = {
        "score_median": -6 + 0.05 * away[0],
        "score_p99": -4 + 0.05 * away[1],
        "score_p999": -3 + 0.1 * away[2],
        "mean_grey": 100 + away[3],
        "contrast": 0.1 + 0.001 * away[4],
        "sharpness": 0.3 + 0.003 * away[5],
        "saturated_share": 0.0,
        "pitch_along_mm": 0.5 + 0.001 * away[7],
        "pitch_across_mm": 0.4 + 0.001 * away[8],
    }
    payload = RollFigures(model_sha256=model, inspected_m=10.0, samples=5, **(usual | changes))
    return Draft(
        kind="roll.figures", is_simulated=True, is_partial=True, roll_id=f"R{number}", style=style, payload=payload
    )


class Loom:
    """A journal and a watch that lives with it."""

    def __init__(self, path: Path, settings: DriftSettings = SETTINGS) -> None:
        self.path, self.settings = path, settings
        self.journal = Journal(path, "loom-1").__enter__()
        self.number = 0
        self.start()

    def start(self) -> None:
        """The station starts."""
        self.watch = DriftWatch(self.settings, self.path)
        with self.journal.reader() as reader:
            self.watch.recall(reader)

    def close(self) -> None:
        self.journal.__exit__(None, None, None)

    def weave(self, n_rolls: int, **changes: object) -> list[Fault]:
        told = []
        for _ in range(n_rolls):
            self.number += 1
            event = self.journal.append(draft(self.number, **changes))  # type: ignore[arg-type]
            told += self.watch.add(event, threshold_logit=-2.0)
        return told


@pytest.fixture
def loom(tmp_path: Path) -> Iterable[Loom]:
    one = Loom(tmp_path / "events.journal")
    yield one
    one.close()


def kinds(told: Iterable[Fault]) -> list[str]:
    return [fault.kind for fault in told]


def test_good_rolls_tell_nothing_and_too_few_say_nothing(loom: Loom) -> None:
    assert loom.weave(9) == []
    assert loom.weave(1, mean_grey=20.0) == []  # an odd roll of the baseline
    assert loom.weave(40) == []


def test_a_drift_is_told_once_and_once_when_it_is_over(loom: Loom) -> None:
    assert loom.weave(12) == []
    told = loom.weave(3, sharpness=0.2)
    assert kinds(told) == ["drift_sharpness"]
    assert not told[0].is_fatal
    assert "0.2 in roll R13" in told[0].message
    assert "first 10 rolls of linen had 0.3" in told[0].message
    assert "clean the lens" in told[0].message
    told = loom.weave(30)
    assert kinds(told) == ["drift_sharpness_over"]
    assert "is back" in told[0].message
    assert kinds(loom.weave(1, sharpness=0.5)) == ["drift_sharpness"]


def test_what_creeps_is_told_before_it_is_far_away(loom: Loom) -> None:
    loom.weave(10)
    told: list[Fault] = []
    grey = 100.0
    while not told:
        grey -= 0.4
        told = loom.weave(1, mean_grey=grey)
        assert grey > 70
    assert kinds(told) == ["drift_mean_grey"]
    assert 80 < grey < 98
    assert "weighted mean" in told[0].message
    assert "lamp" in told[0].message


def test_scores_that_rise_name_the_threshold(loom: Loom) -> None:
    loom.weave(10)
    told = loom.weave(1, score_p999=-1.0)
    assert kinds(told) == ["drift_score_p999"]
    assert "the threshold is -2" in told[0].message
    assert "false alarms will follow" in told[0].message


def test_a_figure_that_was_not_measured_says_nothing(loom: Loom) -> None:
    loom.weave(9)
    loom.weave(6, pitch_along_mm=None)
    assert loom.weave(1, pitch_along_mm=0.9) == []  # the tenth roll that has it
    told = loom.weave(1, pitch_along_mm=0.9)
    assert kinds(told) == ["drift_pitch_along_mm"]
    assert loom.weave(5, pitch_along_mm=None) == []  # neither over nor told again


def test_a_pitch_that_is_now_one_and_now_another_says_nothing(loom: Loom) -> None:
    for number in range(10):
        loom.weave(1, pitch_along_mm=1.0 if number % 3 == 0 else 0.5 + 0.001 * number)
    assert loom.weave(5, pitch_along_mm=3.0) == []
    key, kept = _key(loom)
    charts = {one.figure.name: one for one in loom.watch._history.charts(key, kept)}  # type: ignore[arg-type]
    assert charts["pitch_along_mm"].is_uneven
    assert charts["pitch_along_mm"].chart is None
    assert not charts["pitch_across_mm"].is_uneven


def test_saturation_that_goes_away_is_no_drift(loom: Loom) -> None:
    loom.weave(10, saturated_share=0.2)
    assert loom.weave(10, saturated_share=0.0) == []
    assert kinds(loom.weave(1, saturated_share=0.5)) == ["drift_saturated_share"]


def test_styles_and_models_are_charted_apart(loom: Loom) -> None:
    loom.weave(10)
    assert loom.weave(5, style="twill", mean_grey=50.0) == []
    assert kinds(loom.weave(2, mean_grey=50.0)) == ["drift_mean_grey"]
    assert loom.weave(1, style="twill", mean_grey=50.0) == []
    told = loom.weave(1, model="b" * 64, mean_grey=50.0)  # trained for what the cloth is now
    assert kinds(told) == ["drift_mean_grey_over"]
    assert "another engine" in told[0].message
    assert loom.weave(20, model="b" * 64, mean_grey=50.0) == []


def test_after_a_restart_what_lasts_is_told_again_and_what_is_over_too(loom: Loom) -> None:
    loom.weave(12)
    assert kinds(loom.weave(2, sharpness=0.05, mean_grey=20.0)) == ["drift_mean_grey", "drift_sharpness"]
    loom.weave(1, mean_grey=20.0)
    loom.start()
    assert kinds(loom.weave(1, mean_grey=20.0)) == ["drift_mean_grey", "drift_sharpness"]
    assert loom.weave(1, sharpness=0.05, mean_grey=20.0) == []
    loom.start()
    told = loom.weave(30)
    assert kinds(told[:2]) == ["drift_mean_grey", "drift_sharpness"]
    assert sorted(kinds(told[2:])) == ["drift_mean_grey_over", "drift_sharpness_over"]
    loom.start()
    assert loom.weave(5) == []


def test_the_baseline_outlives_the_journals_oldest_rolls_and_the_journal(tmp_path: Path, loom: Loom) -> None:
    loom.weave(10)
    before = loom.watch._history.charts(*_key(loom))
    loom.close()
    for name in ("events.journal", "events.journal-wal", "events.journal-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    anew = Loom(tmp_path / "events.journal")
    anew.number = 100
    try:
        anew.weave(3)
        after = anew.watch._history.charts(*_key(anew))
        assert [[one.value for one in chart.first] for chart in after] == [
            [one.value for one in chart.first] for chart in before
        ]
        assert [len(chart.later) for chart in after] == [3] * len(CHARTED)
        assert kinds(anew.weave(1, sharpness=0.2)) == ["drift_sharpness"]
    finally:
        anew.close()


def _key(loom: Loom) -> tuple[object, KeptBaseline]:
    key = loom.watch._history.keys[-1]
    memory = load_memory(drift_memory_path(loom.path)).in_epoch(loom.journal.epoch)
    return key, memory.of(key.style, key.model_sha256)


def test_charts_that_are_begun_anew_take_the_cloth_as_it_is_now(loom: Loom) -> None:
    loom.weave(12)
    assert kinds(loom.weave(1, mean_grey=20.0)) == ["drift_mean_grey"]
    anew = KeptBaseline(style="linen", model_sha256=MODEL, after_seq=13)
    change_memory(drift_memory_path(loom.path), lambda memory: memory.having(anew))
    told = loom.weave(1, mean_grey=20.0)
    assert kinds(told) == ["drift_mean_grey_over"]
    assert "anew" in told[0].message
    assert loom.weave(20, mean_grey=20.0) == []
    assert kinds(loom.weave(1)) == ["drift_mean_grey"]


def test_a_damaged_file_of_baselines_is_told_once_and_the_journal_serves(loom: Loom) -> None:
    loom.weave(10)
    path = drift_memory_path(loom.path)
    path.write_text("{", encoding="utf-8")
    loom.start()
    told = loom.weave(2)
    assert kinds(told) == ["drift_failed"]
    assert str(path) in told[0].message
    assert kinds(loom.weave(1, sharpness=0.2)) == ["drift_sharpness"]
    assert path.read_text() == "{"  # nobody writes over what a person may want to mend
    path.unlink()
    assert loom.weave(1) == []
    assert len(json.loads(path.read_text())["baselines"][0]["figures"]["sharpness"]) == 10


def test_the_file_and_the_history_are_bounded() -> None:
    memory = DriftMemory()
    for number in range(100):
        memory = memory.having(KeptBaseline(style=f"s{number}", model_sha256=MODEL))
    assert [kept.style for kept in memory.baselines] == [f"s{number}" for number in range(36, 100)]
    again = memory.having(KeptBaseline(style="s40", model_sha256=MODEL, after_seq=5))
    assert (len(again.baselines), again.of("s40", MODEL).after_seq) == (64, 5)
    history = DriftHistory(SETTINGS, most_rolls=20)
    for number in range(200):
        history.add(_event(number + 1, f"s{number % 90}"))
    assert len(history.keys) == 64
    key = history.keys[-1]
    for number in range(300, 400):
        history.add(_event(number, key.style))
    assert len(history.charts(key, KeptBaseline(style=key.style, model_sha256=MODEL))[0].later) == 10


def _event(seq: int, style: str) -> Event:
    return Event(
        **dict(draft(seq, style=style)), schema_version="1.2", station="s", epoch="0" * 32, seq=seq,
        stamp_utc="2026-01-01T00:00:00Z",
    )  # fmt: skip


def test_a_kept_baseline_grows_with_the_setting(loom: Loom) -> None:
    loom.weave(15)
    longer = DriftHistory(DriftSettings(least_rolls=12))
    shorter = DriftHistory(DriftSettings(least_rolls=8))
    with loom.journal.reader() as reader:
        longer.recall(reader)
        shorter.recall(reader, most=6)  # of a journal that has forgotten the first ones
    key, kept = _key(loom)
    for history, n_first, n_later in ((longer, 12, 3), (shorter, 8, 7)):
        chart = history.charts(key, kept)[0]  # type: ignore[arg-type]
        assert (len(chart.first), len(chart.later)) == (n_first, n_later)
        assert [one.roll_id for one in (*chart.first, *chart.later)] == [f"R{number}" for number in range(1, 16)]


def test_a_roll_without_figures_is_not_looked_at(loom: Loom) -> None:
    told: list[Fault] = []

    class Nothing:
        last, threshold_logit = None, 0.0

    sink = DriftSink(loom.watch, Nothing(), told.append)  # type: ignore[arg-type]
    sink.roll_ended(Roll("R", "linen", 0), RollTotals(0, 0, 0, 0))
    assert told == []


def test_every_figure_is_one_of_the_event_and_says_what_to_do() -> None:
    for figure in CHARTED:
        assert figure.name in RollFigures.model_fields
        assert figure.above
        assert figure.sigma_floor([0.0]) > 0
    measured = set(RollFigures.model_fields) - {"model_sha256", "inspected_m", "samples"}
    assert {figure.name for figure in CHARTED} == measured
    assert RollValue(seq=0, roll_id="R", value=1.0).seq == 0
