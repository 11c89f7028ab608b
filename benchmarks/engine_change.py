"""What a change of the engine costs while cloth runs: lines not inspected, and how long anything had to wait.

    python benchmarks/engine_change.py [--width-px 1024] [--load 0.6] [--changes 6] [--tries 2] [--threads N] [--json]

The demo bundles inspect simulated linen from a camera that does not wait, at a share (`--load`) of the lines a second
that this machine was found to inspect. Engines are exchanged as a station does it: opened, tested and warmed beside the
running inspection, in turn a new version of the style (in the middle of a roll) and another style with other tiles
(with a new roll). For every change:

- gap: lines that are in no score strip, edges of the cloth's two ends excepted, and what the camera lost;
- stall: longest time without a turn of the inference thread, which turns once a block; before the request, while the
  engine was prepared, and within a second of the line from which on it decided;
- delay: longest time from a line's arrival to its scores, for the same stretches.

Then (`--tries`) an engine is tried in a process beside the inspection, as `glass-edge engine install` tries it: the
same figures, from its start to its end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from glass_edge.acquisition.camera import EndOfLinesError, LineBlock
from glass_edge.acquisition.loom.loom_camera import LoomCamera
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.config.engine import EngineSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.recipes import RecipeEntry
from glass_edge.config.web import FixedSpan, WebSettings
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.factory import open_engine
from glass_edge.engine.machine import describe_machine
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.coverage import CoverageGap
from glass_edge.inspection.parameters import ActiveEngine
from glass_edge.inspection.pipeline import InspectionPipeline
from glass_edge.inspection.pipeline_bench import EndlessCloth, measure_pipeline
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import QuietSink
from glass_edge.service.engine_keeper import EngineKeeper
from glass_edge.service.fan_out import FanOutSink
from glass_edge.service.recipe_book import RecipeBook, Recipes
from glass_edge.service.roll_job import RollJob
from glass_edge.service.roll_judge import JudgeRules, RollJudge
from glass_edge.service.roll_pipeline import make_pipeline

ENGINES = Path(__file__).resolve().parents[1] / "engines"
MM = 0.1
SETTLE_S = 5.0
NEAR_S = 1.0


class PacedCloth(EndlessCloth):
    """A live camera: blocks come at their time, whether anybody is ready for them or not."""

    def __init__(self, piece: np.ndarray, line_rate_hz: float) -> None:
        super().__init__(piece, 1 << 40)
        self._rate = line_rate_hz
        self._begun_s: float | None = None
        self.stop = threading.Event()

    def read(self, timeout_s: float) -> LineBlock | None:
        """The next block when it is due; None before."""
        if self._begun_s is None:
            self._begun_s = time.monotonic()
        if self.stop.is_set():
            raise EndOfLinesError(end_line=self._next)
        due_s = self.time_of(self._next + 128)
        wait_s = due_s - time.monotonic()
        if wait_s > timeout_s:
            time.sleep(timeout_s)
            return None
        time.sleep(max(0.0, wait_s))
        return super().read(timeout_s)

    def time_of(self, line: int) -> float:
        """When the camera has seen `line`, monotonic s."""
        assert self._begun_s is not None
        return self._begun_s + line / self._rate


class Watch(QuietSink):
    """Remembers what the table needs."""

    def __init__(self, camera: PacedCloth) -> None:
        self._camera = camera
        self.delays: list[tuple[float, float]] = []
        self.gaps: list[CoverageGap] = []
        self.scored: list[tuple[int, int]] = []
        self.changes: list[tuple[float, int, str]] = []
        self.lines = 0

    def scores(self, strip: ScoreStrip) -> None:
        """How long its first line waited."""
        now_s = time.monotonic()
        self.delays.append((now_s, now_s - self._camera.time_of(strip.first_line)))
        self.scored.append((strip.first_line, strip.end_line))

    def coverage_gap(self, gap: CoverageGap) -> None:
        """Kept."""
        self.gaps.append(gap)

    def engine_changed(self, line: int, engine: ActiveEngine, so_far: RollTotals | None) -> None:
        """When, and from which line on."""
        del so_far
        self.changes.append((time.monotonic(), line, f"{engine.parameters.style} {engine.version}"))

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        """Its lines are added."""
        del roll
        self.lines += totals.lines_woven


@dataclass(slots=True)
class Change:
    """One change; times in s."""

    to: str
    prepared_and_decides_s: float
    gap_lines: int
    gap_mm: float
    stall_before_s: float
    stall_preparing_s: float
    stall_near_s: float
    delay_before_s: float
    delay_preparing_s: float
    delay_near_s: float


@dataclass(slots=True)
class Try:
    """An engine tried beside the inspection; times in s."""

    seconds: float
    gap_lines: int
    stall_before_s: float
    stall_s: float
    delay_before_s: float
    delay_s: float


class Turns:
    """Times between two turns of the inference thread, by a thread that looks every millisecond."""

    def __init__(self, pipeline: InspectionPipeline) -> None:
        self.waits: list[tuple[float, float]] = []
        self._pipeline = pipeline
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        last, since_s = 0, time.monotonic()
        while self._pipeline.is_running:
            turns, now_s = self._pipeline.turns.get("inference", 0), time.monotonic()
            if turns != last:
                self.waits.append((now_s, now_s - since_s))
                last, since_s = turns, now_s
            time.sleep(0.001)


def make_engines(folder: Path) -> dict[str, Path]:
    """Two versions of a style, and one with other tiles; none finds anything, so that nothing else is timed."""
    for name, style, versions in (("demo", "linen", ("1", "2")), ("demo-greige", "greige", ("1",))):
        source = load_bundle(ENGINES / name)
        threshold = source.manifest.threshold.model_copy(update={"logit": 1e6})
        for version in versions:
            changes = {"style": style, "version": version, "threshold": threshold, "files": {}}
            write_bundle(
                folder, source.manifest.model_copy(update=changes), {n: source.read(n) for n in source.manifest.files}
            )
    return {"linen": folder / "linen", "greige": folder / "greige"}


def linen(width_px: int, lines: int) -> np.ndarray:
    """Simulated linen, uint8 (lines, width)."""
    camera = LoomCamera(LoomSpec("photo:linen", width_px, MM, MM, section_lines=lines))
    parts = []
    with camera:
        while sum(map(len, parts)) < lines:
            block = camera.read(10.0)
            assert block is not None
            parts.append(block.lines)
    return np.concatenate(parts)[:lines]


def capacity(bundle: Bundle, settings: EngineSettings, piece: np.ndarray) -> float:
    """Lines a second that are inspected when they are there."""
    figures = measure_pipeline(
        open_engine(bundle, settings), bundle.manifest, piece, 4 * len(piece), InspectionSettings()
    )
    return figures.lines / figures.seconds


def longest(figures: list[tuple[float, float]], from_s: float, to_s: float) -> float:
    """Largest of the figures of a stretch of time, 0 without one."""
    return max((value for at_s, value in figures if from_s <= at_s <= to_s), default=0.0)


def missing(watch: Watch) -> int:
    """Lines between the first and the last scores that are in no strip."""
    strips = sorted(watch.scored)
    return sum(max(0, after[0] - before[1]) for before, after in itertools.pairwise(strips))


@dataclass(frozen=True, slots=True)
class Bench:
    """A running inspection and those who watch it."""

    pipeline: InspectionPipeline
    keeper: EngineKeeper
    watch: Watch
    turns: Turns
    told: list[str]

    def change(self, number: int) -> Change:
        """The next change, and the time around it."""
        watch = self.watch
        style, version = (("linen", "2"), ("greige", "1"), ("linen", "1"))[number % 3]
        asked_s, missing_before = time.monotonic(), missing(watch)
        self.keeper.ask(style, version)
        is_roll = number % 3 != 0
        while len(watch.changes) == number:
            if self.told:
                raise SystemExit(self.told[-1])
            if is_roll and self.pipeline.engine_changes.waits_for_roll:
                self.pipeline.change_roll(f"R-{number + 2}")
                is_roll = False
            time.sleep(0.002)
        decided_s, _, name = watch.changes[number]
        time.sleep(SETTLE_S)
        gap = missing(watch) - missing_before
        spans = ((asked_s - SETTLE_S, asked_s), (asked_s, decided_s), (decided_s - NEAR_S, decided_s + NEAR_S))
        stalls = [longest(self.turns.waits, *span) for span in spans]
        delays = [longest(watch.delays, *span) for span in spans]
        return Change(name, decided_s - asked_s, gap, gap * MM, *stalls, *delays)

    def try_beside(self, folder: Path) -> Try:
        """Try a bundle in another process."""
        begun_s, missing_before = time.monotonic(), missing(self.watch)
        script = (
            "import sys\nfrom pathlib import Path\nfrom glass_edge.config.engine import EngineSettings\n"
            "from glass_edge.engine.bundle import load_bundle\n"
            "from glass_edge.service.engine_selftest import try_engine\n"
            "try_engine(load_bundle(Path(sys.argv[1])), EngineSettings(precision='f32'))"
        )
        subprocess.run([sys.executable, "-c", script, str(folder)], check=True)
        ended_s = time.monotonic()
        spans = ((begun_s - SETTLE_S, begun_s), (begun_s, ended_s))
        stalls = [longest(self.turns.waits, *span) for span in spans]
        delays = [longest(self.watch.delays, *span) for span in spans]
        time.sleep(SETTLE_S)
        return Try(ended_s - begun_s, missing(self.watch) - missing_before, *stalls, *delays)


def run(folder: Path, options: argparse.Namespace) -> tuple[list[Change], list[Try], dict[str, object]]:
    """All changes and tries, and what was found of the whole run."""
    engines = make_engines(folder / "engines")
    bundle = load_bundle(engines["linen"] / "1")
    settings = EngineSettings(precision="f32", threads=options.threads, pin_threads=False)
    piece = linen(options.width_px, 2048)
    rates = {style: capacity(load_bundle(place), settings, piece) for style, place in engines.items()}
    rate = options.load * min(rates.values())
    camera = PacedCloth(piece, rate)
    web = WebSettings(mm_per_px=MM, mm_per_line=MM, span=FixedSpan(left_px=0, right_px=options.width_px))
    recipes = Recipes(
        RecipeBook({style: RecipeEntry(bundle=place) for style, place in engines.items()}), lambda _: JudgeRules()
    )
    job = RollJob("R-1", camera, bundle, web, settings, InspectionSettings(crops=False), live=True, recipes=recipes)
    told: list[str] = []
    engine = open_engine(bundle, settings)
    judge = RollJudge(JudgeRules(), job.scale)
    keeper = EngineKeeper(job, engine, recipes, judge, lambda code, message: told.append(message))
    watch = Watch(camera)
    pipeline = make_pipeline(job, engine, FanOutSink([keeper, watch]))
    found: list[Change] = []
    tries: list[Try] = []
    with pipeline:
        keeper.start(pipeline.engine_changes)
        bench = Bench(pipeline, keeper, watch, Turns(pipeline), told)
        time.sleep(SETTLE_S)
        found += [bench.change(number) for number in range(options.changes)]
        tries += [bench.try_beside(engines["linen"] / "2") for _ in range(options.tries)]
        camera.stop.set()
        pipeline.wait()
    keeper.close()
    edges = sum(gap.end_line - gap.first_line for gap in watch.gaps if gap.reason.value == "segment_edge")
    others = sum(gap.end_line - gap.first_line for gap in watch.gaps) - edges
    scored = sum(end - first for first, end in watch.scored)
    assert scored + edges + others == watch.lines, "lines are not accounted for"
    whole = {
        "lines_per_s_possible": rates,
        "lines_per_s": rate,
        "lines": watch.lines,
        "edge_lines_of_both_ends": edges,
        "lines_lost": others,
        "lines_without_scores_between": missing(watch),
        "most_blocks_waiting": pipeline.progress.block_queue_max,
    }
    return found, tries, whole


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width-px", type=int, default=1024)
    parser.add_argument("--load", type=float, default=0.6, help="share of the lines a second that are possible")
    parser.add_argument("--changes", type=int, default=6)
    parser.add_argument("--tries", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="that compute; 0: one a core")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="engine-change-"))
    try:
        changes, tries, whole = run(folder, options)
    finally:
        shutil.rmtree(folder)
    machine = describe_machine()
    if options.json:
        rows = {"changes": [asdict(one) for one in changes], "tries": [asdict(one) for one in tries]}
        print(json.dumps({"machine": asdict(machine), **whole, **rows}, indent=2))
        return
    print(f"{machine.cpu}, {machine.cores} cores, {machine.system}, {machine.versions}")
    for name, value in whole.items():
        print(f"{name}: {value}")
    print("| to | decides after, s | gap, lines | gap, mm | stall, ms: before, preparing, near | delay, ms: the same |")
    print("| --- | --- | --- | --- | --- | --- |")
    for one in changes:
        stalls, delays = (
            ", ".join(f"{1000 * each:.0f}" for each in times)
            for times in (
                (one.stall_before_s, one.stall_preparing_s, one.stall_near_s),
                (one.delay_before_s, one.delay_preparing_s, one.delay_near_s),
            )
        )
        gap = f"{one.gap_lines} | {one.gap_mm:.1f}"
        print(f"| {one.to} | {one.prepared_and_decides_s:.2f} | {gap} | {stalls} | {delays} |")
    for one in tries:
        stalls = f"{1000 * one.stall_before_s:.0f} before, {1000 * one.stall_s:.0f} meanwhile"
        delays = f"{1000 * one.delay_before_s:.0f} before, {1000 * one.delay_s:.0f} meanwhile"
        print(
            f"tried beside, {one.seconds:.1f} s: gap, lines {one.gap_lines}; stall, ms: {stalls}; delay, ms: {delays}"
        )


if __name__ == "__main__":
    main()
