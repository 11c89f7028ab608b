"""Does the alarm of drift come before the false alarms do?

Rolls of simulated good linen run through a station with the demo engine, whose threshold promises a rate of false
alarms. After the baseline something changes a step a roll, and every defect told is a false alarm. Printed for each
change: the roll of the first drift alarm, which figure it was, and the roll from which on the false alarms of a single
roll exceed the promise (the whole 95 % interval lies above it).

    .venv/bin/python benchmarks/drift.py FOLDER [--change NAME ...] [--stable ROLLS]

FOLDER keeps the calibrated bundle and the journal with the baseline; a second run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glass_edge.acquisition.camera import EndOfLinesError, LineBlock
from glass_edge.acquisition.loom.renderer import LoomRenderer
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.calibration.alarm_rate import Verdict, alarm_rate
from glass_edge.cli.main import run
from glass_edge.config.drift import DriftSettings
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.web import FixedSpan, WebSettings
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.service.roll_job import RollJob, RollReport
from glass_edge.service.station import Station

ROOT = Path(__file__).resolve().parents[1]
WIDTH_PX, MM, GOOD_LINES, LINES, BLOCK = 512, 0.1, 10_000, 5_000, 250
GOOD_ROLLS, BASELINE, MOST_STEPS = 40, 20, 40
ASKED_PER_100M = 10.0
CAMERA_SEED, GOOD_SEED, BASELINE_SEED, LATER_SEED = 100, 900, 2000, 3000
Signal = NDArray[np.float32]


def _picks(lines: Signal, step: int) -> Signal:
    """1 % fewer picks a cm a step."""
    few = lines[: round(len(lines) / (1 + 0.01 * step))]
    return cv2.resize(few, (lines.shape[1], len(lines)), interpolation=cv2.INTER_LANCZOS4)


def _streak(lines: Signal, step: int) -> Signal:
    """Dirt in front of 8 px of the camera, half a percent darker a step."""
    out = lines.copy()
    out[:, 300:308] *= 1 - 0.005 * step
    return out


CHANGES: dict[str, Callable[[Signal, int], Signal]] = {
    "lamp darker, 3 % a roll": lambda lines, step: lines * (1 - 0.03 * step) if step < 30 else lines * 0.1,
    "lamp brighter, 3 % a roll": lambda lines, step: lines * (1 + 0.03 * step),
    "lamp at 60 % at once": lambda lines, step: lines * 0.6 if step else lines,
    "blur, sigma 0.06 px a roll": lambda lines, step: cv2.GaussianBlur(lines, (0, 0), 0.06 * step) if step else lines,
    "picks, 1 % fewer a roll": _picks,
    "dirt before 8 px, 0.5 % a roll": _streak,
    "vibration, 1 px more in 5 rolls": lambda lines, step: cv2.blur(lines, (1, 1 + step // 5)),
}


def cloth(
    seed: int, change: Callable[[Signal, int], Signal] | None = None, step: int = 0, n_lines: int = LINES
) -> NDArray[np.uint8]:
    """A roll, uint8 (n_lines, WIDTH_PX)."""
    spec = LoomSpec("photo:linen", WIDTH_PX, MM, MM, section_lines=n_lines, seed=seed, camera_seed=CAMERA_SEED)
    renderer = LoomRenderer(spec)
    lines = renderer.signal(0, n_lines)
    if change is not None:
        lines = np.ascontiguousarray(change(lines, step), np.float32)
    return renderer._camera.expose(lines, 0)


class Played:
    """A camera that plays an array."""

    width_px, channels, is_simulated, first_line = WIDTH_PX, 1, True, 0

    def __init__(self, lines: NDArray[np.uint8]) -> None:
        self._lines, self._at = lines, 0

    def __enter__(self) -> Self:
        self._at = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def read(self, timeout_s: float) -> LineBlock:
        """Next block."""
        del timeout_s
        at, self._at = self._at, self._at + BLOCK
        if at >= len(self._lines):
            raise EndOfLinesError
        return LineBlock(self._lines[at : at + BLOCK], at, at, datetime.now(UTC), 0.0, starts_segment=at == 0)


def calibrated(folder: Path) -> Bundle:
    """The demo bundle with a threshold that promises."""
    style = folder / "engines" / "demo"
    if not (style / "promise").exists():
        rolls = folder / "good"
        rolls.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / "engines" / "demo" / "1", style / "1", dirs_exist_ok=True)
        for number in range(GOOD_ROLLS):
            Image.fromarray(cloth(GOOD_SEED + number, n_lines=GOOD_LINES)).save(rolls / f"{number:02}.png")
        station = folder / "station.toml"
        station.write_text(
            f'station = "s"\nbundle = "{style}"\n[camera]\nkind = "loom"\nwidth_px = {WIDTH_PX}\n[web]\n'
            f"mm_per_px = {MM}\nmm_per_line = {MM}\nspan = {{ left_px = 0, right_px = {WIDTH_PX} }}\n"
            '[engine]\nprecision = "f32"\n'
        )
        good = [str(path) for path in sorted(rolls.glob("*.png"))]
        asked = ["--false-alarms-per-100m", str(ASKED_PER_100M), "--station", str(station), "--version", "promise"]
        if run(["calibrate", "threshold", str(style / "1"), *good, *asked]) != 0:
            raise SystemExit("no promise")
        shutil.rmtree(rolls)
    return load_bundle(style / "promise")


def station(folder: Path) -> Station:
    """A station with its journal in `folder`."""
    events = EventSettings(
        journal=folder / "events.journal",
        publish_endpoint=f"ipc://{folder}/e",
        request_endpoint=f"ipc://{folder}/r",
        status_s=3600,
    )
    drift = DriftSettings(every_m=0.1, least_m=0.4, least_rolls=BASELINE)
    return Station("loom", events, OutputSettings(folder=folder, reports=False), is_simulated=True, drift=drift)


def weave(one: Station, bundle: Bundle, roll_id: str, lines: NDArray[np.uint8]) -> RollReport:
    """A roll through the station."""
    web = WebSettings(mm_per_px=MM, mm_per_line=MM, span=FixedSpan(left_px=0, right_px=WIDTH_PX))
    inspection = InspectionSettings(crops=False)
    job = RollJob(roll_id, Played(lines), bundle, web, EngineSettings(precision="f32"), inspection, live=False)
    return one.inspect(job)


def drifts(report: RollReport) -> list[str]:
    """Codes of the drift alarms that began with this roll."""
    return [code for code in report.faults if code.startswith("drift_") and not code.endswith("_over")]


def exceeds(report: RollReport, promised: float) -> bool:
    """Whether the false alarms of the roll are more than was promised, with 95 % confidence."""
    metres = report.totals.lines_inspected * MM / 1000
    return alarm_rate(report.totals.defects, metres).verdict(promised) is Verdict.EXCEEDED


def message(folder: Path, code: str) -> str:
    """What the station said first of a drift."""
    with sqlite3.connect(folder / "events.journal") as journal:
        rows = journal.execute("SELECT document FROM events WHERE kind = 'status' ORDER BY seq").fetchall()
    told = [json.loads(row[0])["payload"] for row in rows]
    return next((str(one["message"]) for one in told if one["fault_code"] == code), "")


def try_change(folder: Path, base: Path, bundle: Bundle, name: str, promised: float) -> None:
    """Print what came first."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    first: tuple[int, list[str]] | None = None
    exceeded: int | None = None
    with station(folder) as one:
        for step in range(1, MOST_STEPS + 1):
            report = weave(one, bundle, f"{step}", cloth(LATER_SEED + step, CHANGES[name], step))
            begun = drifts(report)
            if begun and first is None:
                first = step, begun
            if exceeded is None and exceeds(report, promised):
                exceeded = step
            print(f"    {step}: {report.totals.defects} false alarms {' '.join(begun)}", flush=True)
            if exceeded is not None and (first is not None or step >= exceeded + 5):
                break
    alarm = "no drift alarm" if first is None else f"drift alarm at roll {first[0]}: {' '.join(first[1])}"
    false = f"none in {MOST_STEPS}" if exceeded is None else f"roll {exceeded}"
    print(f"{name}: {alarm}; false alarms exceed the promise: {false}", flush=True)
    if first is not None:
        print(f"    {message(folder, first[1][0])}", flush=True)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--change", nargs="*", default=list(CHANGES), choices=list(CHANGES))
    parser.add_argument("--stable", type=int, default=0, help="rolls without any change after the baseline")
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    bundle = calibrated(folder)
    promise = bundle.manifest.threshold.promise
    assert promise is not None
    promised = promise.high_per_100m
    print(f"threshold {bundle.manifest.threshold.logit:.3f}, promised {promised:.2f} in 100 m", flush=True)
    base = folder / "base"
    if not (base / "done").exists():
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir()
        with station(base) as one:
            n_false = 0
            for number in range(BASELINE):
                n_false += weave(one, bundle, f"b{number}", cloth(BASELINE_SEED + number)).totals.defects
        (base / "done").write_text(str(n_false))
    print(f"baseline: {(base / 'done').read_text()} false alarms in {BASELINE} rolls of {LINES * MM / 1000:g} m")
    if options.stable:
        shutil.rmtree(folder / "stable", ignore_errors=True)
        shutil.copytree(base, folder / "stable")
        n_false, told = 0, []
        with station(folder / "stable") as one:
            for number in range(options.stable):
                report = weave(one, bundle, f"s{number}", cloth(LATER_SEED + 1000 + number))
                n_false += report.totals.defects
                told += [f"{code} at roll {number + 1}" for code in drifts(report)]
        print(f"nothing changes: {n_false} false alarms in {options.stable} rolls; drift alarms: {told or 'none'}")
    for number, name in enumerate(options.change):
        try_change(folder / f"change-{number}", base, bundle, name, promised)


if __name__ == "__main__":
    main()
