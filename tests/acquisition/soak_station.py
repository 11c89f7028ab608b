"""A station on a virtual loom in a process of its own, for the soak: `python soak_station.py FOLDER`.

It inspects one roll after the other with the demo engine, each until a line comes on standard input ("quit": the last),
checks every block against the cloth, and answers each roll with a line of JSON: what was booked, and what the process
holds once the camera is closed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from glass_edge.acquisition import open_camera
from glass_edge.acquisition.camera import LineBlock
from glass_edge.acquisition.genicam_camera import GenicamCamera
from glass_edge.config.camera import GenicamCameraSettings
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.web import WebSettings
from glass_edge.engine.bundle import load_bundle
from glass_edge.service.roll_job import RollJob
from glass_edge.service.signals import StopRequest
from glass_edge.service.station import Station

COUNTS, BLOCK, WIDTH, MM = 4, 64, 1024, 0.1
SERIAL = "LOOM-1"
PROFILE = f"""
model = "VirtualLoom"
pixel_format = "Mono8"
block_lines = {BLOCK}
line_trigger = "encoder"
encoder_divider = {COUNTS}
exposure_us = 50
required_chunks = ["encoder", "frame_id"]
"""
ENGINE = Path(__file__).parents[2] / "engines" / "demo"


class Checked:
    """A camera whose every block is compared with the cloth, at the line where the encoder says it is."""

    def __init__(self, camera: GenicamCamera, cloth: np.ndarray) -> None:
        self.camera, self.cloth = camera, cloth
        self.width_px, self.channels, self.is_simulated = camera.width_px, camera.channels, camera.is_simulated
        self.first_line = camera.first_line
        self.origin_lines: int | None = None
        self.next_line = 0
        self.handed = 0

    def read(self, timeout_s: float) -> LineBlock | None:
        block = self.camera.read(timeout_s)
        if block is not None:
            at = block.encoder_count // COUNTS
            if self.origin_lines is None:
                self.origin_lines = at - block.first_line
            rows = self.cloth[(at + np.arange(block.n_lines)) % len(self.cloth)]
            if not np.array_equal(block.lines, rows):
                raise AssertionError(f"lines {block.first_line} to {block.end_line} are not the cloth: {block.health}")
            if at - block.first_line != self.origin_lines or block.first_line < self.next_line:
                raise AssertionError(f"line {block.first_line} lies at count {block.encoder_count}: {block.health}")
            self.next_line = block.end_line
            self.handed += block.n_lines
        return block

    def take_faults(self) -> tuple[str, ...]:
        return self.camera.take_faults()

    def __enter__(self) -> Self:
        self.camera.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.camera.__exit__(kind, error, trace)


def held() -> dict[str, object]:
    """Open files, mappings without a name and threads of this process."""
    files = []
    for one in Path("/proc/self/fd").iterdir():
        try:
            files.append(str(one.readlink()))
        except FileNotFoundError:  # the one that lists the folder
            continue
    mapped = Path("/proc/self/maps").read_text().count("memfd:glass-edge-lines")
    return {"files": sorted(files), "rings": mapped, "threads": len(list(Path("/proc/self/task").iterdir()))}


def main(folder: Path) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the log
    cloth = np.load(folder / "cloth.npy")
    profile = folder / "profile.toml"
    profile.write_text(PROFILE)
    settings = GenicamCameraSettings(
        kind="genicam",
        cti=(folder / "loom" / "virtual_loom.cti",),
        serial_number=SERIAL,
        profile=profile,
        stall_s=1.0,
        longest_pause_s=0.5,
        ring_blocks=8,
    )
    web = WebSettings(mm_per_px=MM, mm_per_line=MM, span={"left_px": 0, "right_px": WIDTH})
    events = EventSettings(
        journal=folder / "events.journal",
        publish_endpoint=f"ipc://{folder}/e",
        request_endpoint=f"ipc://{folder}/r",
    )
    engine = EngineSettings(precision="f32", threads=1, cache_folder=folder / "cache")
    bundle = load_bundle(ENGINE)
    with Station("soak", events, OutputSettings(folder=folder, crops_mb=16), is_simulated=True) as station:
        for number in range(1, 100):
            camera = open_camera(settings, web)
            assert isinstance(camera, GenicamCamera)
            checked = Checked(camera, cloth)
            stop, word = StopRequest(), [""]
            job = RollJob(f"R-{number}", checked, bundle, web, engine, InspectionSettings(), live=True)

            def wait(stop: StopRequest = stop, word: list[str] = word) -> None:
                word[0] = sys.stdin.readline().strip()
                stop.asked.set()

            waiting = threading.Thread(target=wait)
            waiting.start()
            report = station.inspect(job, stop=stop)
            waiting.join()
            document = {
                "origin_lines": checked.origin_lines,
                "handed": checked.handed,
                "woven": report.totals.lines_woven,
                "inspected": report.totals.lines_inspected,
                "missed": report.totals.lines_missed,
                "missed_why": report.missed_lines,
                "defects": report.totals.defects,
                "faults": report.faults,
                "counts": dataclasses.asdict(camera.measured.counts),
                **held(),
            }
            print(json.dumps(document), file=answers, flush=True)
            if word[0] == "quit":
                return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
