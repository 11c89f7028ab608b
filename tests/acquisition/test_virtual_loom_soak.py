"""Random faults for as long as one likes: what is woven is inspected or told, and nothing piles up or is left over.

The harvesters soak shows the producer; the station soak the whole road, from the loom through camera process, ring and
engine into the journal. GLASS_EDGE_SOAK_S says how long the latter weaves; its figures go to standard output.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soak_station
from virtual_loom_peer import gentl, harvester, set_up, take

from glass_edge.acquisition.loom.defects import parse_orders
from glass_edge.acquisition.loom.renderer import LoomRenderer
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.acquisition.virtual_loom import VirtualLoom
from glass_edge.events.journal_check import verify

CLOTH = np.random.default_rng(8).integers(0, 256, (500, 256), dtype=np.uint8)
HEIGHT = 32
RATE_HZ = 500.0
SOAK_S = float(os.environ.get("GLASS_EDGE_SOAK_S", "120"))
MIB = 1 << 20
MOST_GROWTH = 12 * MIB  # an hour's lines are 1.8 GB
SOFT = ("incomplete", "drop", "missed_trigger", "bad_chunk", "back", "stand")
HARD = ("crash", "kill", "lose", "stall", "stop", "long stop", "stop station")


def used() -> tuple[int, int, int]:
    """Resident bytes, open files, threads of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE"), len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


def session(loom: VirtualLoom, chance: random.Random, until_s: float) -> int:
    """Open the camera, take blocks while things go wrong, lose it; returns the number of right blocks."""
    n_right = 0
    with harvester(loom.cti) as h:
        ia = h.create({"serial_number": "LOOM-1"})
        ia.num_buffers = 50
        set_up(ia.remote_device.node_map, height=HEIGHT)
        ia.start()
        end_s = min(until_s, time.monotonic() + 2)
        while time.monotonic() < end_s:
            loom.order(chance.choice(["drop", "incomplete", "missed_trigger"]), chance.randint(0, 2))
            loom.run(chance.choice([4000, 4000, 2000, -2000]))
            for _ in range(10):
                with contextlib.suppress(gentl.TimeoutException):
                    block = take(ia, timeout_s=0.5, every_line=True)
                    rows = np.array(block.counts) % len(CLOTH)
                    assert np.array_equal(block.raw.reshape(HEIGHT, -1), CLOTH[rows])
                    n_right += 1
        loom.lose()
        for end in (ia.stop, ia.destroy):
            with contextlib.suppress(gentl.GenericException):
                end()
        loom.find()
    return n_right


@pytest.mark.slow
def test_a_minute_of_faults_leaves_nothing_behind(tmp_path: Path) -> None:
    chance = random.Random(8)
    loom = VirtualLoom.create(tmp_path, CLOTH, line_rate_hz=4000)
    end_s = time.monotonic() + 60
    n_right = session(loom, chance, end_s) + session(loom, chance, end_s)
    memory, files, threads = used()
    while time.monotonic() < end_s:
        n_right += session(loom, chance, end_s)
    memory_after, files_after, threads_after = used()
    assert n_right > 1000
    assert (files_after, threads_after) == (files, threads)
    assert memory_after - memory < 30 * MIB


@dataclass
class Watched:
    """The station process as the system sees it."""

    process: subprocess.Popen[str]
    folder: Path
    cameras: set[int] = field(default_factory=set)
    """Every camera process there was."""
    samples: list[tuple[float, int, int, int, int, int]] = field(default_factory=list)
    """Time, resident bytes, threads and files of the station; pid and resident bytes of its camera process."""

    def camera(self) -> int | None:
        """Pid of the camera process, None while there is none."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                pid, _, rest = stat.read_text().partition(" (")
                if int(rest.rpartition(") ")[2].split()[1]) == self.process.pid:
                    self.cameras.add(int(pid))
                    return int(pid)
        return None

    def sample(self) -> None:
        """Note what both hold now."""
        camera, station = self.camera(), Path(f"/proc/{self.process.pid}")
        with contextlib.suppress(OSError):
            self.samples.append(
                (
                    time.monotonic(),
                    resident(self.process.pid),
                    len(list((station / "task").iterdir())),
                    len(list((station / "fd").iterdir())),
                    camera or 0,
                    0 if camera is None else resident(camera),
                )
            )

    def end_roll(self, word: str) -> dict[str, Any]:
        """End the roll; what the station says of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the station ended with {self.process.wait(10)}"
        answer: dict[str, Any] = json.loads(line)
        return answer


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def held_still(pid: int, for_s: float) -> None:
    """Stop a process for a while; it may die of it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(for_s)
        os.kill(pid, signal.SIGCONT)


def commit(fault: str, loom: VirtualLoom, station: Watched, chance: random.Random) -> None:
    """Do one fault."""
    if fault in SOFT:  # a block that shows two of them at once hides one behind the other
        until_s = time.monotonic() + 30
        while any(loom.pending(one) for one in ("incomplete", "drop", "missed_trigger", "bad_chunk")):
            assert time.monotonic() < until_s, "the camera does not come back"
            time.sleep(0.1)
    camera = station.camera()
    if fault == "lose":
        loom.lose(chance.uniform(0.1, 2.0))
    elif fault == "stall":
        loom.stall()
        time.sleep(chance.uniform(0.1, 2.0))
        loom.resume()
    elif fault == "back":
        time.sleep(0.3)
        loom.run(-RATE_HZ)
        time.sleep(chance.uniform(0.05, 0.8))
        loom.run()
    elif fault == "stand":
        loom.stop()
        time.sleep(chance.uniform(0.1, 3.0))
        loom.run()
    elif fault == "stop station":
        held_still(station.process.pid, chance.uniform(0.2, 3.0))
    elif fault in ("kill", "stop", "long stop"):
        if camera is not None and fault == "kill":
            os.kill(camera, signal.SIGKILL)
        elif camera is not None:
            held_still(camera, chance.uniform(0.1, 1.5) if fault == "stop" else chance.uniform(2.5, 4.0))
    else:
        loom.order(fault, 1 if fault == "crash" else chance.randint(1, 4))


def weave(
    loom: VirtualLoom, station: Watched, chance: random.Random, for_s: float, faults: tuple[str, ...]
) -> Counter[str]:
    """Let things go wrong for a while, each of `faults` once before any comes again; says what was done."""
    done: Counter[str] = Counter()
    bag: list[str] = []
    until_s = time.monotonic() + for_s
    while time.monotonic() < until_s:
        assert station.process.poll() is None, "the station ended"
        bag = bag or chance.sample(faults, len(faults))
        fault = bag.pop()
        commit(fault, loom, station, chance)
        done[fault] += 1
        end_s = time.monotonic() + chance.uniform(0.5, 4.0)
        while (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(1.0, left_s))
            station.sample()
    return done


def end_in_peace(loom: VirtualLoom, station: Watched, word: str) -> tuple[dict[str, Any], int]:
    """End a roll while all is well and the web stands: what the station says, and the last line that was woven."""
    loom.find()
    time.sleep(8.0)
    loom.stop()
    last_line = loom.encoder_count // soak_station.COUNTS
    time.sleep(2.0)
    answer = station.end_roll(word)
    loom.run()
    return answer, last_line


def growth(samples: np.ndarray) -> float:
    """Bytes by which (time, bytes) grows, from the usual fifth of it: a leak grows in each, a heap that takes one more
    step in one.
    """
    fifths = np.array_split(samples, 5)
    return 5 * float(np.median([np.polyfit(np.arange(len(part)), part[:, 1], 1)[0] * len(part) for part in fifths]))


@pytest.fixture
def loom(tmp_path: Path) -> Iterator[VirtualLoom]:
    spec = LoomSpec(
        cloth="photo:linen",
        width_px=soak_station.WIDTH,
        mm_per_px=soak_station.MM,
        mm_per_line=soak_station.MM,
        section_lines=4000,
        defects=parse_orders("hole:1@3x3,stain:1@8x6,broken_pick:1@30x0"),
    )
    cloth = LoomRenderer(spec).render(0, spec.section_lines)
    np.save(tmp_path / "cloth.npy", cloth)
    with VirtualLoom.create(
        tmp_path / "loom", cloth, line_rate_hz=RATE_HZ, counts_per_line=soak_station.COUNTS
    ) as made:
        yield made


def shared_memory() -> set[str]:
    return {one.name for one in Path("/dev/shm").iterdir()}


@pytest.mark.slow
@pytest.mark.timeout(SOAK_S + 400)
def test_a_station_outlives_everything_its_camera_does(loom: VirtualLoom, tmp_path: Path) -> None:
    chance, shared = random.Random(5), shared_memory()
    command = [sys.executable, soak_station.__file__, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        station = Watched(process, tmp_path)
        try:
            done = run_rolls(loom, station, chance)
        finally:
            if process.poll() is None:
                process.kill()
    assert process.returncode == 0
    left = [pid for pid in station.cameras if Path(f"/proc/{pid}").exists()]
    assert not left
    assert shared_memory() <= shared
    journal_says(tmp_path, done)


def run_rolls(loom: VirtualLoom, station: Watched, chance: random.Random) -> list[dict[str, Any]]:
    """A short roll that wakes everything up, and the long one; what the station said of both."""
    while loom.counters["lines"] == 0:
        time.sleep(0.2)
        assert station.process.poll() is None
    weave(loom, station, chance, min(20.0, SOAK_S / 4), HARD + SOFT)
    first, last_line = end_in_peace(loom, station, "next")
    check_account(first, last_line)

    station.samples.clear()
    faults = weave(loom, station, chance, SOAK_S * 2 / 3, HARD + SOFT) + weave(loom, station, chance, SOAK_S / 3, SOFT)
    second, last_line = end_in_peace(loom, station, "quit")
    check_account(second, last_line)
    assert station.process.wait(30) == 0
    every = np.array(station.samples, dtype=np.float64)
    warm = every[every[:, 0] > every[0, 0] + 0.2 * (every[-1, 0] - every[0, 0])]
    last = warm[warm[:, 4] == warm[-1, 4]]  # of the last camera process, which had soft faults alone
    last = last[last[:, 0] > last[0, 0] + 0.2 * (last[-1, 0] - last[0, 0])]
    grown = {"station": growth(warm[:, :2]), "camera process": growth(last[:, [0, 5]])}
    figures = {
        "seconds": SOAK_S,
        "done": faults,
        "camera processes": len(station.cameras),
        "station MiB": [round(float(np.median(part[:, 1])) / MIB, 1) for part in np.array_split(warm, 3)],
        "camera MiB": [round(float(np.median(part[part[:, 5] > 0, 5])) / MIB, 1) for part in np.array_split(warm, 3)],
        "growth MiB": {name: round(size / MIB, 2) for name, size in grown.items()},
        "most threads": [int(part[:, 2].max()) for part in np.array_split(every, 3)],
        "most files": [int(part[:, 3].max()) for part in np.array_split(every, 3)],
        **{key: value for key, value in second.items() if key != "files"},
    }
    np.save(station.folder / "samples.npy", every)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    assert second["files"] == first["files"]
    assert second["rings"] == 0
    assert second["threads"] <= first["threads"]
    assert all(size < MOST_GROWTH for size in grown.values()), grown
    for begin, _, end in (figures["most threads"], figures["most files"]):
        assert end <= begin
    assert set(faults) == {*SOFT, *HARD} or SOAK_S < 120
    return [first, second]


def check_account(said: dict[str, Any], last_line: int) -> None:
    """Lines inspected and lines told as missing are the lines that the loom wove, but for a block that is not full."""
    assert said["inspected"] + said["missed"] == said["woven"]
    woven = last_line + 1 - said["origin_lines"]
    assert 0 <= woven - said["woven"] < soak_station.BLOCK, (woven, said)
    assert said["handed"] + said["counts"]["missed_lines"] == said["woven"]
    assert sum(said["missed_why"].values()) == said["missed"]


def journal_says(folder: Path, said: list[dict[str, Any]]) -> None:
    """The journal is whole; each roll in it ends as was told, and its gaps add up to its missed lines, none twice."""
    report = verify(folder / "events.journal")
    assert report.is_whole, report.findings
    with contextlib.closing(sqlite3.connect(folder / "events.journal")) as connection:
        rows = connection.execute("SELECT document FROM events ORDER BY seq").fetchall()
    events = [json.loads(row[0]) for row in rows]
    ends = [event["payload"] for event in events if event["kind"] == "roll.end"]
    assert [(end["lines_woven"], end["lines_missed"]) for end in ends] == [
        (one["woven"], one["missed"]) for one in said
    ]
    for number, end in enumerate(ends, start=1):
        own = [event for event in events if event["roll_id"] == f"R-{number}"]
        gaps = sorted(
            (event["payload"]["first_line"], event["payload"]["end_line"])
            for event in own
            if event["kind"] == "coverage.gap"
        )
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(gaps))
        assert sum(stop - start for start, stop in gaps) == end["lines_missed"]
        begun = {event["payload"]["defect_id"] for event in own if event["kind"] == "defect.new"}
        ended = {event["payload"]["defect_id"]: event["payload"] for event in own if event["kind"] == "defect.end"}
        assert begun == set(ended)
        assert sum(one["merged_into"] is None for one in ended.values()) == end["defects"] > 0
