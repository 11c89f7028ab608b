"""Cloth that passes while the station is down: what the encoder says is told, and what nobody knows is said so."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.acquisition.camera import LineBlock
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.journal import Journal
from glass_edge.events.payloads import RollEnd
from glass_edge.events.schema import Draft, Event, Kind
from glass_edge.fabric.geometry import WebScale
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.coverage import CoverageGap, GapReason
from glass_edge.inspection.sink import Progress
from glass_edge.service.down_time import FAULT, DownTime, DownTimeCamera, Witness, lines_passed
from glass_edge.service.web_place import WebPlace, boot_id, boot_s, load_place, place_path

SCALE = WebScale(0.1, 0.2)
WITNESS = Witness("C", 4.0, 64, 0.2)


def place_at(count: int | None, **changes: object) -> WebPlace:
    values: dict[str, object] = {
        "epoch": "0" * 32,
        "run_seq": 0,
        "head": 1,
        "camera": "C",
        "line": 100,
        "encoder_count": count,
        "counts_per_line": 4.0,
        "line_rate_hz": 1000.0,
        "written_utc": datetime.now(UTC),
        "boot_id": boot_id(),
        "boot_s": boot_s(),
    }
    return WebPlace.model_validate(values | changes)


@settings(deadline=None, max_examples=25)
@given(then=st.integers(0, 1 << 40), lines=st.integers(0, 90_000), bits=st.sampled_from([32, 64]), down=st.booleans())
def test_lines_are_counted_across_the_counters_end_and_either_way(then: int, lines: int, bits: int, down: bool) -> None:
    per_line = -4.0 if down else 4.0
    witness, span = Witness("C", per_line, bits, 0.2), 1 << bits
    now = (then + round(lines * per_line)) % span
    assert lines_passed(place_at(then % span, counts_per_line=per_line), witness, now) == lines


def test_what_cannot_be_known_is_none() -> None:
    assert lines_passed(place_at(4_000_000), WITNESS, 400) is None  # began anew with its camera
    assert lines_passed(place_at(4_000_000), WITNESS, 3_999_960) == -10  # the web went back
    assert lines_passed(place_at(None), WITNESS, 400) is None
    assert lines_passed(place_at(400), replace(WITNESS, camera="D"), 500) is None
    assert lines_passed(place_at(400), replace(WITNESS, counts_per_line=8.0), 500) is None
    assert lines_passed(place_at(400), replace(WITNESS, counts_per_line=None), 500) is None
    assert lines_passed(place_at(400), WITNESS, 4_000_400) is None  # a million lines within a moment
    an_hour_ago = place_at(400, boot_s=boot_s() - 3600)
    assert lines_passed(an_hour_ago, WITNESS, 4_000_400) == 1_000_000


def test_the_wall_clock_counts_only_across_a_start_of_the_system() -> None:
    assert place_at(0, written_utc=datetime.now(UTC) + timedelta(days=1)).seconds_since() == pytest.approx(0, abs=5)
    other = place_at(0, boot_id="other", written_utc=datetime.now(UTC) - timedelta(seconds=60))
    assert other.seconds_since() == pytest.approx(60, abs=5)
    assert place_at(0, boot_id="other", written_utc=datetime.now(UTC) + timedelta(days=1)).seconds_since() is None


class Web:
    """A camera before a web that goes on between its runs: an encoder of four counts a line."""

    width_px, channels, is_simulated, first_line = 8, 1, False, 0

    def __init__(self, count: int, lost_first: int = 0) -> None:
        self.count, self._line = count, lost_first
        self.count += 4 * lost_first

    def read(self, timeout_s: float) -> LineBlock | None:
        block = LineBlock(np.zeros((10, 8), np.uint8), self._line, self.count, datetime.now(UTC), 0.0)
        self._line += 10
        self.count += 40
        return block

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""


class Run:
    """A run of a station that books what its camera hands over, and dies whenever the test likes."""

    def __init__(self, folder: Path, web: Web, number: int) -> None:
        self.journal = Journal(folder / "events.journal", "loom1")
        self.down = DownTime(folder / "events.journal", WITNESS)
        self.cut = self.down.begin(self.journal, self.journal.append_all)
        self.camera = DownTimeCamera(web, self.down)
        self._roll: Roll | None = None
        self._number = number
        self.line = 0
        self.alarms: list[str] = []

    @property
    def maker(self) -> DraftMaker:
        return DraftMaker(self._roll, SCALE, is_simulated=True)

    def block(self) -> None:
        block = self.camera.read(1.0)
        assert block is not None
        self.alarms += [alarm.message for alarm in self.camera.take_alarms() if alarm.kind == FAULT]
        if self._roll is None:
            self._roll = Roll(f"R-{self._number}", "twill", 0)
            self.journal.append(self.maker.roll_start())
        if block.first_line > self.line:
            gap = CoverageGap(self.line, block.first_line, GapReason.CAMERA_GAP, 0.0, 0.0, block.health.missed_why)
            self.journal.append(self.maker.coverage_gap(gap.first_line, gap.end_line, "camera_gap", detail=gap.detail))
            self.down.coverage_gap(gap)
        self.line = block.end_line

    def keep(self) -> None:
        """The second has passed: what was booked is kept."""
        self.down._line = self.line
        self.down.progress(Progress())

    def end(self) -> None:
        assert self._roll is not None
        self.journal.append(self.maker.roll_end(self.line, RollTotals(self.line, self.line, 0, 0)))


def told(folder: Path) -> tuple[int, int]:
    """Lines inspected and lines missed, as the rolls' ends say."""
    with Journal(folder / "events.journal", "loom1") as journal, journal.reader() as reader:
        from glass_edge.events.parsing import parse_event

        ends = [parse_event(one.document).payload for one in reader.of_kind_after(Kind.ROLL_END, 0)]
    ends = [one for one in ends if isinstance(one, RollEnd)]
    return sum(one.lines_inspected for one in ends), sum(one.lines_missed for one in ends)


@settings(deadline=None, max_examples=25)
@given(
    runs=st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 3), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=5
    )
)
def test_however_often_it_dies_every_line_is_told_once(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[int, int, int, int]]
) -> None:
    """Runs of (lines that pass before it, blocks lost first, blocks kept, blocks whose keeping it did not live to)."""
    folder, count = tmp_path_factory.mktemp("web"), 4000
    origin = None
    for number, (passed, lost, kept, unkept) in enumerate(runs):
        count += 4 * passed
        web = Web(count, lost_first=10 * lost)
        run = Run(folder, web, number)
        origin = web.count - 40 * lost if origin is None else origin
        for _ in range(kept):
            run.block()
            run.keep()
        for _ in range(unkept):
            run.block()
        if not kept and not unkept:
            web.count -= 40 * lost  # nobody took a line
            origin = None if number == 0 or load_place(place_path(folder / "events.journal")) is None else origin
        count = web.count
        run.journal.close()  # the process is gone; nothing more of it is written
    run = Run(folder, Web(count), len(runs))
    run.block()
    run.keep()
    run.journal.close()
    last = Run(folder, Web(0), len(runs) + 1)  # ends what is open
    last.journal.close()
    inspected, missed = told(folder)
    if origin is not None:
        assert inspected + missed == (count + 40 - origin) // 4
    else:
        assert inspected + missed == 10


def test_a_gap_says_why_and_an_unknown_length_is_told(tmp_path: Path) -> None:
    first = Run(tmp_path, Web(400), 1)
    first.block()
    first.keep()
    first.journal.close()
    assert first.alarms == []
    second = Run(tmp_path, Web(440 + 4 * 50), 2)
    second.block()
    assert second.cut == "R-1"
    (said,) = second.alarms
    assert "50 lines (0.010 m) passed and were not inspected" in said
    second.keep()
    second.journal.close()
    place_path(tmp_path / "events.journal").write_text("{")
    third = Run(tmp_path, Web(5000), 3)
    third.block()
    (said,) = third.alarms
    assert "unknown length" in said
    assert "place.json" in said
    third.journal.close()


def test_nothing_is_forgotten_by_a_run_that_takes_no_line(tmp_path: Path) -> None:
    first = Run(tmp_path, Web(400), 1)
    first.block()
    first.keep()
    first.down.progress(Progress())
    first.journal.close()
    before = load_place(place_path(tmp_path / "events.journal"))
    idle = Run(tmp_path, Web(600), 2)
    idle.down.progress(Progress())
    idle.journal.close()
    after = load_place(place_path(tmp_path / "events.journal"))
    assert before is not None
    assert after is not None
    assert after.encoder_count == before.encoder_count == 440


def test_events_of_a_cut_roll(tmp_path: Path) -> None:
    def kinds(journal: Journal) -> list[Event]:
        with journal.reader() as reader:
            from glass_edge.events.parsing import parse_event

            return [parse_event(one.document) for one in reader.read(1, 100).events]

    run = Run(tmp_path, Web(400), 1)
    run.block()
    draft: Draft = run.maker.coverage_gap(2, 5, "bad_block")
    run.journal.append(draft)
    run.keep()
    run.journal.close()
    again = Run(tmp_path, Web(440), 2)
    events = kinds(again.journal)
    again.journal.close()
    assert [one.kind for one in events] == ["roll.start", "coverage.gap", "roll.end"]
    end = events[-1].payload
    assert isinstance(end, RollEnd)
    assert (end.lines_woven, end.lines_inspected, end.lines_missed) == (10, 7, 3)
    assert end.grading_table is None
    assert "middle of the roll" in end.grade_remarks[0]
    third = Run(tmp_path, Web(440), 3)
    assert third.cut is None
    third.journal.close()
    assert len(list(itertools.islice(events, 5))) == 3
