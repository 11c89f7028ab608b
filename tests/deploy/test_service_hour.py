"""A service as it runs beside a loom, for as long as one likes: its memory, threads and files stay what they were.

A station on the virtual loom with the demo engine, drift charts, metrics and pictures, and four adapters, each a
process; a new roll every two minutes, a status asked for and the metrics read as a mill does. GLASS_EDGE_SOAK_S says
how long it weaves; the figures go to standard output.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / "adapters"), str(TESTS / "events")]

pytest.importorskip("genicam", reason="needs the extra genicam")

from fault_account import rolls  # noqa: E402
from fault_mill import Mill  # noqa: E402

from glass_edge.events.commands import change_roll  # noqa: E402
from glass_edge.events.journal_check import verify  # noqa: E402
from glass_edge.events.requester import request_status  # noqa: E402

SOAK_S = float(os.environ.get("GLASS_EDGE_SOAK_S", "120"))
ROLL_S = min(120.0, SOAK_S / 6)
MIB = 1 << 20
MOST_GROWTH = 8 * MIB if SOAK_S >= 1800 else 16 * MIB  # of the last two thirds; an hour's lines are 0.55 GB
PARTS = 6


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="ge-hour-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def held(pid: int) -> tuple[int, int, int]:
    """Resident bytes, threads and open files of a process."""
    process = Path(f"/proc/{pid}")
    pages = int((process / "statm").read_text().split()[1])
    return (
        pages * os.sysconf("SC_PAGESIZE"),
        len(list((process / "task").iterdir())),
        len(list((process / "fd").iterdir())),
    )


def processes(mill: Mill) -> dict[str, int | None]:
    """Pid of each process by its name."""
    adapters = {name: unit.pid for name, unit in mill.adapters.items()}
    return adapters | {"station": mill.station.pid, "camera process": mill.camera_pid()}


def weave(mill: Mill) -> tuple[dict[str, list[tuple[int, int, int]]], int]:
    """Live an ordinary life for SOAK_S; what each process held, a sample every five seconds, and rolls begun."""
    samples: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    settings = tomllib.loads(mill.station_text)
    request, metrics = settings["events"]["request_endpoint"], f"http://127.0.0.1:{settings['metrics']['port']}/metrics"
    pids = processes(mill)
    begun_s, n_rolls = time.monotonic(), 0
    while (past_s := time.monotonic() - begun_s) < SOAK_S:
        for name, pid in pids.items():
            assert pid is not None, name
            samples[name].append(held(pid))
        if past_s > ROLL_S * (n_rolls + 1):
            n_rolls += 1
            change_roll(request, f"R-{n_rolls}", operator="Ada")
        request_status(request)
        with urllib.request.urlopen(metrics, timeout=10) as answer:
            assert b"glass_edge_" in answer.read()
        time.sleep(5.0)
    assert processes(mill) == pids
    return samples, n_rolls


@pytest.mark.slow
@pytest.mark.timeout(SOAK_S + 400)
def test_memory_threads_and_files_stay(folder: Path) -> None:
    with Mill(folder, restart_s=None, journal_mb=256, state_mb=64) as mill:
        mill.start()
        samples, n_rolls = weave(mill)
        mill.loom.stop()
        time.sleep(3.0)
        mill.station.stop()
        documents = mill.documents()
        report = verify(mill.journal)
        for kind, unit in mill.adapters.items():
            assert unit.stop() == 0, f"{kind}\n{unit.tail()}"
        assert mill.station.ends == [0], mill.station.tail()
    inspected, missed = rolls(documents, open_until=None)
    figures: dict[str, object] = {
        "seconds": SOAK_S,
        "rolls": n_rolls + 1,
        "events": len(documents),
        "lines inspected": inspected,
        "lines missed": missed,
        "defects": sum(one["kind"] == "defect.new" for one in documents),
    }
    grown = {}
    for name, values in samples.items():
        every = np.array(values, dtype=np.float64)
        parts = [float(np.median(part[:, 0])) / MIB for part in np.array_split(every, PARTS)]
        grown[name] = (parts[-1] - parts[PARTS // 3]) * MIB
        figures[name] = {
            "MiB by sixth": [round(one, 1) for one in parts],
            "threads": [int(every[len(every) // 3, 1]), int(every[-1, 1])],
            "files": [int(every[len(every) // 3, 2]), int(every[-1, 2])],
        }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    assert report.is_whole, report.findings
    assert inspected > 0.9 * (inspected + missed)
    assert all(size < MOST_GROWTH for size in grown.values()), grown
    for name, values in samples.items():
        assert np.median([one[1] for one in values[-5:]]) <= max(one[1] for one in values[: len(values) // 3]), name
        assert np.median([one[2] for one in values[-5:]]) <= max(one[2] for one in values[: len(values) // 3]), name
