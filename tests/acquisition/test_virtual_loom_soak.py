"""A minute of random faults: blocks stay right, and neither memory, files nor threads pile up."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from virtual_loom_peer import gentl, harvester, set_up, take

from glass_edge.acquisition.virtual_loom import VirtualLoom

CLOTH = np.random.default_rng(8).integers(0, 256, (500, 256), dtype=np.uint8)
HEIGHT = 32


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
    assert memory_after - memory < 30 << 20
