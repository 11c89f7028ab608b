"""How fast lines come in: MB/s, CPU share of the camera process, and the line rate at which gaps begin.

    python benchmarks/acquisition.py [--width 4096] [--block-lines 512] [--seconds 4] [--thread] [--json]

The virtual loom plays random lines with chunks through harvesters into the shared-memory ring, and this process copies
every block out of it. Each line rate runs for --seconds; the rate doubles until lines are missing, and the border is
then halved four times. CPU shares are of one core: the camera process (the producer, which makes the lines, included),
and this process, which only reads. Lines that do not come in time count as missing too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from glass_edge.acquisition.genicam_camera import GenicamCamera
from glass_edge.acquisition.virtual_loom import VirtualLoom
from glass_edge.config.camera import GenicamCameraSettings

_START_HZ = 2000.0
_HALVINGS = 4


@dataclass(frozen=True)
class Figures:
    """What one line rate gave."""

    line_rate_hz: float
    received_hz: float
    mb_per_s: float
    missed_lines: int
    camera_process_cpu: float
    reader_cpu: float
    first_fault: str


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(folder: Path, width: int, block_lines: int, rate_hz: float, seconds: float, *, process: bool) -> Figures:
    """Stream for some seconds at one line rate."""
    profile = folder / "profile.toml"
    profile.write_text(
        f'block_lines = {block_lines}\nline_trigger = "encoder"\nexposure_us = 1\nbuffers = 64\n'
        f"required_chunks = ['encoder']\n"
    )
    with VirtualLoom(folder) as loom:
        loom.run(rate_hz)
        settings = GenicamCameraSettings(
            kind="genicam", cti=(loom.cti,), profile=profile, ring_blocks=64, process=process
        )
        lines, faults = 0, []
        with GenicamCamera(settings, mm_per_line=0.1) as camera:
            first = None
            while first is None:
                first = camera.read(1.0)
            pid = camera.process_id
            began, usage = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
            child = _cpu_s(pid) if pid else 0.0
            missed_before = first.health.missed_lines
            missed = missed_before
            while (elapsed := time.monotonic() - began) < seconds:
                block = camera.read(0.1)
                if block is not None:
                    lines += block.n_lines
                    missed = block.health.missed_lines
                    faults += block.health.faults
            now = resource.getrusage(resource.RUSAGE_SELF)
            own = now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime
            camera_cpu = (_cpu_s(pid) - child) / elapsed if pid else 0.0
    return Figures(
        rate_hz,
        round(lines / elapsed, 1),
        round(lines * width / elapsed / 1e6, 1),
        missed - missed_before,
        round(camera_cpu, 3),
        round(own / elapsed, 3),
        faults[0] if faults else "",
    )


def main() -> None:
    """Find the border and print what was measured on the way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--block-lines", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--start-hz", type=float, default=_START_HZ)
    parser.add_argument("--thread", action="store_true", help="the camera in a thread of this process")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cloth = np.random.default_rng(0).integers(0, 256, (4096, options.width), dtype=np.uint8)
    figures: list[Figures] = []
    with tempfile.TemporaryDirectory() as folder:
        VirtualLoom.create(Path(folder), cloth).close()

        def holds(rate_hz: float) -> bool:
            one = measure(
                Path(folder), options.width, options.block_lines, rate_hz, options.seconds, process=not options.thread
            )
            figures.append(one)
            under_way_hz = 2 * options.block_lines / options.seconds
            whole = one.missed_lines == 0 and one.received_hz > 0.95 * rate_hz - under_way_hz
            if not options.json:
                print(
                    f"{rate_hz:9.0f} lines/s: {one.mb_per_s:6.1f} MB/s, camera process {one.camera_process_cpu:4.0%}, "
                    f"reader {one.reader_cpu:4.0%} of a core, {one.missed_lines} lines missed  {one.first_fault}",
                    flush=True,
                )
            return whole

        low, high = 0.0, options.start_hz
        while high <= 390_000 and holds(high):
            low, high = high, 2 * high
        for _ in range(_HALVINGS if low else 0):
            middle = (low + high) / 2
            low, high = (middle, high) if holds(middle) else (low, middle)
    best = max((one.mb_per_s for one in figures if one.missed_lines == 0), default=0.0)
    if options.json:
        print(json.dumps({"gapless_up_to_hz": low, "best_mb_per_s": best, "runs": [asdict(one) for one in figures]}))
    else:
        print(f"{options.width} px x {options.block_lines} lines: no gap up to {low:.0f} lines/s; best {best:.0f} MB/s")


if __name__ == "__main__":
    main()
