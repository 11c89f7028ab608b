"""The whole service under faults: what is woven is inspected or told, what is told is delivered, all comes back.

A station on the virtual loom with the demo engine and four adapters, each a process that is started again as systemd
does it. GLASS_EDGE_FAULTS and GLASS_EDGE_FAULT_SEED say how many faults, and which, the long one has; its table of
recovery times goes to standard output.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / "adapters"), str(TESTS / "events")]

pytest.importorskip("genicam", reason="needs the extra genicam")

from fault_account import Account  # noqa: E402
from fault_kinds import FAULTS  # noqa: E402
from fault_mill import ADAPTERS, Mill, eventually  # noqa: E402

N_FAULTS = int(os.environ.get("GLASS_EDGE_FAULTS", "100"))
SEED = int(os.environ.get("GLASS_EDGE_FAULT_SEED", "1"))
LIGHT = (
    "station killed",
    "camera process killed",
    "adapter files killed",
    "disk of journal and pictures full",
    "journal: write-ahead log lost",
    "journal: bytes flipped",
    "network of the webhook cut",
    "database locked",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="ge-fault-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def come_to_rest(mill: Mill) -> None:
    """End the last roll while the web stands, let the adapters take all of it, and end everything."""
    mill.loom.find()
    mill.station_recovers()
    mill.loom.stop()
    time.sleep(3.0)
    mill.station.stop()
    mill.station.start()  # it has no cloth now; it serves
    eventually(lambda: mill.documents()[-1]["payload"].get("state") == "Ready", "the state Ready")
    head = mill.head()
    for kind in ADAPTERS:
        what = lambda kind=kind: f"{kind} at {head}, is at {mill.offset(kind)}\n{mill.adapters[kind].tail()}"  # noqa: E731
        eventually(lambda kind=kind: mill.offset(kind) == head, what)
    mill.station.stop(signal.SIGKILL)
    for kind in ADAPTERS:
        assert mill.adapters[kind].stop() == 0, mill.adapters[kind].tail()
    for unit in (mill.station, *mill.adapters.values()):
        assert not unit.is_failed


def strike(mill: Mill, names: list[str], chance: random.Random) -> tuple[Account, dict[str, list[float]]]:
    """One fault after the other; what this side knows of the cloth, and the seconds of recovery by fault."""
    account, seconds = Account(), defaultdict(list)
    mill.start()
    account.begin(mill)
    for number, name in enumerate(names, start=1):
        took_s = FAULTS[name](mill, account, chance)
        seconds[name].append(took_s)
        sys.stdout.write(f"{number:3} {name}: {took_s:.1f} s\n")
        sys.stdout.flush()
        time.sleep(chance.uniform(0, 1))
    come_to_rest(mill)
    return account, dict(seconds)


def table(seconds: dict[str, list[float]]) -> str:
    rows = ["| fault | n | median s | worst s |", "| --- | --- | --- | --- |"]
    for name, values in sorted(seconds.items()):
        rows.append(f"| {name} | {len(values)} | {median(values):.1f} | {max(values):.1f} |")
    return "\n".join(rows)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_eight_faults_lose_no_cloth_and_no_event(folder: Path) -> None:
    with Mill(folder, restart_s=0.2) as mill:
        names = [name for name in LIGHT if mill.station_disk.is_own or not name.startswith("disk")]
        account, seconds = strike(mill, names, random.Random(1))
        figures = account.check(mill)
    sys.stdout.write(f"{table(seconds)}\n{json.dumps(figures)}\n")
    assert figures["inspected"] > 0
    assert len(account.archives) == 2


@pytest.mark.slow
@pytest.mark.timeout(60 * N_FAULTS + 600)
def test_a_hundred_faults_lose_no_cloth_and_no_event(folder: Path) -> None:
    chance = random.Random(SEED)
    with Mill(folder, restart_s=None) as mill:
        kinds = [name for name in FAULTS if mill.station_disk.is_own or not name.startswith("disk")]
        bag: list[str] = []
        while len(bag) < N_FAULTS:
            bag += chance.sample(kinds, len(kinds))
        account, seconds = strike(mill, bag[:N_FAULTS], chance)
        figures = account.check(mill)
    sys.stdout.write(f"{table(seconds)}\n{json.dumps(figures)}\n")
    assert sum(map(len, seconds.values())) >= N_FAULTS
