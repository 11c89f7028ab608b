"""The demonstration: two rolls with known defects through the live path of a station.

Promises: nothing is staged: a simulated loom and real images are the cameras; threads, journal and sockets are those of
a running station, and what the report says was received came over the socket; every true defect counts, found or not.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glass_edge.config.events import EventSettings
from glass_edge.config.output import OutputSettings
from glass_edge.errors import GlassEdgeError
from glass_edge.events.journal_check import compare
from glass_edge.fabric.defect import Defect, DefectPhase
from glass_edge.files import make_folder
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import DefectCrop, InspectionSink, QuietSink
from glass_edge.service.demo_rolls import DemoRoll, TappedCamera
from glass_edge.service.follower import Follower
from glass_edge.service.roll_job import RollReport
from glass_edge.service.runtime_folder import runtime_folder
from glass_edge.service.signals import StopRequest
from glass_edge.service.station import Station
from glass_edge.service.truth_match import Match, match_boxes

STATION = "demo"
_FOLLOW_S = 10.0


@dataclass(frozen=True, slots=True)
class RollOutcome:
    """What came of a roll: its lines and smoothed scores too, for the picture."""

    roll: DemoRoll
    report: RollReport
    found: tuple[Defect, ...]
    match: Match
    lines: NDArray[np.uint8]
    scores: tuple[ScoreStrip, ...]


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """What came of the demonstration; `events_received` equals what the journal holds."""

    rolls: tuple[RollOutcome, ...]
    events_received: int
    journal: Path


class _Collector(QuietSink):
    def __init__(self) -> None:
        self.found: list[Defect] = []
        self.strips: list[ScoreStrip] = []

    def scores(self, strip: ScoreStrip) -> None:
        self.strips.append(strip)

    def defect(self, defect: Defect, crop: DefectCrop | None) -> None:
        if defect.phase is DefectPhase.END and defect.merged_into is None:
            self.found.append(defect)


def play(
    out: Path,
    rolls: Sequence[DemoRoll],
    *,
    watch: Callable[[DemoRoll], InspectionSink],
    after: Callable[[RollOutcome], None],
    stop: StopRequest,
) -> DemoOutcome:
    """Play the rolls on one station, one after the other, and follow its events over the socket.

    Args:
        out: folder for the journal (`events.journal`), what was received (`received.jsonl`) and pictures of defects;
            those of a demonstration before are replaced.
        rolls: in order; each activates its engine.
        watch: told everything about a roll while it plays.
        after: told each outcome.
        stop: looked at several times a second.

    Raises:
        InputError: `out` cannot be written. GlassEdgeError: a part failed, or an event was not received.
    """
    make_folder(out)
    for left_over in (*out.glob("events.journal*"), out / "received.jsonl"):
        left_over.unlink(missing_ok=True)
    shutil.rmtree(out / "crops", ignore_errors=True)
    outcomes = []
    with contextlib.ExitStack() as stack:
        sockets = stack.enter_context(runtime_folder())
        events = EventSettings(
            journal=out / "events.journal",
            publish_endpoint=f"ipc://{sockets}/events",
            request_endpoint=f"ipc://{sockets}/requests",
        )
        follower = Follower(events.publish_endpoint, events.request_endpoint, out / "received.jsonl")
        stack.callback(follower.finish, 0.0)
        with Station(STATION, events, OutputSettings(folder=out), is_simulated=True) as station:
            follower.start()
            for roll in rolls:
                if not stop.asked.is_set():
                    outcomes.append(_play_one(station, roll, watch(roll), stop))
                    after(outcomes[-1])
        follower.finish(_FOLLOW_S)
    comparison = compare(events.journal, follower.path)
    if not comparison.is_equal:
        raise GlassEdgeError(
            f"what was received is not what the journal {events.journal} holds: {'; '.join(comparison.findings.kept)}"
        )
    return DemoOutcome(tuple(outcomes), follower.received, events.journal)


def _play_one(station: Station, roll: DemoRoll, watcher: InspectionSink, stop: StopRequest) -> RollOutcome:
    tap, collector = roll.job.camera, _Collector()
    assert isinstance(tap, TappedCamera)
    report = station.inspect(roll.job, [collector, watcher], stop)
    found = tuple(collector.found)
    reach_px = roll.job.bundle.manifest.tile.halo_px
    match = match_boxes([truth.box_px for truth in roll.truths], [defect.box_px for defect in found], reach_px)
    lines = np.concatenate([block.lines for block in tap.blocks])
    return RollOutcome(roll, report, found, match, lines, tuple(collector.strips))


def summary(outcome: DemoOutcome, seconds: float) -> dict[str, Any]:
    """The document `summary.json`."""
    rolls = outcome.rolls
    engines = [f"{one.roll.job.bundle.manifest.style}/{one.roll.job.bundle.manifest.version}" for one in rolls]
    return {
        "defects_true": sum(len(one.roll.truths) for one in rolls),
        "defects_found": sum(one.match.n_found for one in rolls),
        "false_alarms": sum(len(one.match.false_alarms) for one in rolls),
        "events_received": outcome.events_received,
        "metres": round(sum(_woven_mm(one) for one in rolls) / 1000, 6),
        "engine": " + ".join(engines),
        "seconds": round(seconds, 3),
        "rolls": [_roll_summary(one, engine) for one, engine in zip(rolls, engines, strict=True)],
    }


def _roll_summary(outcome: RollOutcome, engine: str) -> dict[str, Any]:
    kinds = outcome.roll.truths
    pairs = zip(kinds, outcome.match.found_of_truth, strict=True)
    return {
        "title": outcome.roll.title,
        "engine": engine,
        "metres": round(_woven_mm(outcome) / 1000, 6),
        "defects_true": len(kinds),
        "defects_found": outcome.match.n_found,
        "false_alarms": len(outcome.match.false_alarms),
        "missed": [truth.kind for truth, found in pairs if not found],
        "tiles_per_s": round(outcome.report.progress.tiles_per_s, 1),
    }


def _woven_mm(outcome: RollOutcome) -> float:
    return outcome.report.totals.lines_woven * outcome.roll.job.web.mm_per_line
