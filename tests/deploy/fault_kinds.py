"""Every fault of the suite: each returns whom it hit and the seconds from its end to the first new line or event."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from fault_account import Account, count_at_zero
from fault_mill import ADAPTERS, COUNTS, Mill, eventually

STATION = "station"
Fault = Callable[[Mill, Account, random.Random], float]
FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Fault], Fault]:
    """Enter a fault under its name."""

    def enter(function: Fault) -> Fault:
        FAULTS[name] = function
        return function

    return enter


# Processes


@fault("station killed")
def _kill_station(mill: Mill, account: Account, chance: random.Random) -> float:
    mill.station.kill()
    return mill.station_recovers()


@fault("station stopped and started")
def _restart_station(mill: Mill, account: Account, chance: random.Random) -> float:
    mill.station.stop()
    time.sleep(chance.uniform(0, 2))
    mill.station.start()
    return mill.station_recovers()


@fault("camera process killed")
def _kill_camera(mill: Mill, account: Account, chance: random.Random) -> float:
    pid = mill.camera_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return mill.station_recovers()


def _killer(kind: str) -> Fault:
    def kill(mill: Mill, account: Account, chance: random.Random) -> float:
        mill.adapters[kind].kill()
        return mill.adapter_recovers(kind)

    return kill


for _kind in ADAPTERS:
    fault(f"adapter {_kind} killed")(_killer(_kind))


# Disks


@fault("disk of journal and pictures full")
def _fill_station(mill: Mill, account: Account, chance: random.Random) -> float:
    mill.station_disk.fill()
    time.sleep(chance.uniform(2, 6))
    mill.station_disk.free()
    return mill.station_recovers()


@fault("disk of adapter states full")
def _fill_states(mill: Mill, account: Account, chance: random.Random) -> float:
    mill.state_disk.fill()
    time.sleep(chance.uniform(2, 6))
    mill.state_disk.free()
    return max(mill.adapter_recovers(kind) for kind in ADAPTERS)


# Camera


@fault("camera unplugged for a moment")
def _lose(mill: Mill, account: Account, chance: random.Random) -> float:
    for_s = chance.uniform(0.5, 2)
    mill.loom.lose(for_s)
    time.sleep(for_s)
    return mill.station_recovers()


@fault("camera unplugged for long")
def _lose_for_long(mill: Mill, account: Account, chance: random.Random) -> float:
    mill.loom.lose()
    time.sleep(chance.uniform(6, 9))  # the station gives up after 4 s
    mill.loom.find()
    return mill.station_recovers()


@fault("producer crashes")
def _crash(mill: Mill, account: Account, chance: random.Random) -> float:
    mill.loom.order("crash")
    eventually(lambda: mill.loom.pending("crash") == 0, "the crash")
    return mill.station_recovers()


@fault("camera gives no lines")
def _stall(mill: Mill, account: Account, chance: random.Random) -> float:
    mill.loom.stall()
    time.sleep(chance.uniform(1, 3))
    mill.loom.resume()
    return mill.station_recovers()


# Clock


@fault("wall clock jumps ahead")
def _ahead(mill: Mill, account: Account, chance: random.Random) -> float:
    mill.set_clock(chance.randint(3600, 90000))
    return mill.station_recovers()


@fault("wall clock jumps back")
def _back(mill: Mill, account: Account, chance: random.Random) -> float:
    mill.set_clock(-chance.randint(3600, 90000))
    return mill.station_recovers()


# Files of the station


def _damaged(damage: Callable[[Mill, random.Random], None], *, is_journal: bool = False) -> Fault:
    """Damage of files while the station is down after a kill."""

    def strike(mill: Mill, account: Account, chance: random.Random) -> float:
        mill.station.stop(signal.SIGKILL)
        archive = account.archive(mill)
        damage(mill, chance)
        mill.station.start()
        seconds = mill.station_recovers()
        if is_journal and mill.head()[0] != archive.epoch:
            account.archives.append(archive)
        return seconds

    return strike


def _garbage(path: Path, chance: random.Random) -> None:
    """Half of the file, or noise in its place."""
    data = path.read_bytes() if path.exists() else b""
    is_half = chance.random() < 0.5 and len(data) > 1
    path.write_bytes(data[: len(data) // 2] if is_half else chance.randbytes(200))


def _flip(mill: Mill, chance: random.Random) -> None:
    _without_log(mill)
    data = bytearray(mill.journal.read_bytes())
    for _ in range(3):
        at = chance.randrange(len(data) - 64)
        data[at : at + 64] = chance.randbytes(64)
    mill.journal.write_bytes(bytes(data))


def _without_log(mill: Mill) -> None:
    """All events into the main file, so that it is what is damaged."""
    with contextlib.closing(sqlite3.connect(mill.journal)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _truncate(mill: Mill, chance: random.Random) -> None:
    _without_log(mill)
    os.truncate(mill.journal, int(mill.journal.stat().st_size * chance.uniform(0.1, 0.95)))


def _head_of_file(mill: Mill, chance: random.Random) -> None:
    with mill.journal.open("r+b") as stream:
        stream.write(chance.randbytes(100))


def _lose_log(mill: Mill, chance: random.Random) -> None:
    for suffix in ("-wal", "-shm"):
        mill.journal.with_name(mill.journal.name + suffix).unlink(missing_ok=True)


def _empty(mill: Mill, chance: random.Random) -> None:
    _lose_log(mill, chance)
    os.truncate(mill.journal, 0)


fault("journal: bytes flipped")(_damaged(_flip, is_journal=True))
fault("journal: truncated")(_damaged(_truncate, is_journal=True))
fault("journal: header overwritten")(_damaged(_head_of_file, is_journal=True))
fault("journal: write-ahead log lost")(_damaged(_lose_log, is_journal=True))
fault("journal: emptied")(_damaged(_empty, is_journal=True))


def _cache(mill: Mill, chance: random.Random) -> None:
    for path in (mill.folder / "cache").rglob("*"):
        if path.is_file():
            _garbage(path, chance)


fault("engine cache damaged")(_damaged(_cache))
fault("drift file damaged")(_damaged(lambda mill, chance: _garbage(_beside(mill, "drift.json"), chance)))


def _beside(mill: Mill, suffix: str) -> Path:
    return mill.journal.with_name(f"{mill.journal.name}.{suffix}")


@fault("place file damaged")
def _place(mill: Mill, account: Account, chance: random.Random) -> float:
    mill.station.stop(signal.SIGKILL)
    before = account.archive(mill)
    _garbage(_beside(mill, "place.json"), chance)
    told = _told_without_place(before.documents, before.place)
    mill.station.start()
    seconds = mill.station_recovers()
    place = mill.place()
    assert place is not None
    account.unknown_lines.append((count_at_zero(place) - told) // COUNTS)
    return seconds


def _told_without_place(documents: list[dict[str, object]], place: object) -> int:
    """Encoder up to which the journal alone tells of the web: its open roll ends there."""
    start = end = 0
    is_open = False
    for one in documents:
        payload = one["payload"]
        assert isinstance(payload, dict)
        if one["kind"] == "roll.start":
            start = end = payload["first_line"]
            is_open = True
        elif one["kind"] == "roll.end":
            end, is_open = payload["end_line"], False
        elif one["kind"] == "coverage.gap":
            end = max(end, payload["end_line"])
        elif one["kind"] == "status" and is_open:
            end = max(end, start + payload["roll_lines"])
    return int(count_at_zero(place)) + end * COUNTS  # type: ignore[arg-type]


@fault("station file half written")
def _half_station_file(mill: Mill, account: Account, chance: random.Random) -> float:
    text = mill.station_text
    return _wrong_station_file(mill, text[: int(len(text) * chance.uniform(0.2, 0.9))] + "\nx = [")


@fault("station file with a typo")
def _typo(mill: Mill, account: Account, chance: random.Random) -> float:
    return _wrong_station_file(mill, mill.station_text.replace("mm_per_line", "mm_per_lime"))


def _wrong_station_file(mill: Mill, text: str) -> float:
    mill.station_file.write_text(text)
    count = len(mill.station.ends)
    mill.station.kill()
    eventually(lambda: len(mill.station.ends) >= count + 3, "two refused starts")
    assert set(mill.station.ends[count + 1 : count + 3]) == {2}
    assert not mill.station.is_failed
    mill.station_file.write_text(mill.station_text)
    return mill.station_recovers()


# Files of adapters


def _state_damaged(kind: str, name: str, *removed: str, needs_person: bool) -> Fault:
    """Damage of a file in an adapter's state folder; `removed` is removed with it, as the message says."""

    def strike(mill: Mill, account: Account, chance: random.Random) -> float:
        unit = mill.adapters[kind]
        unit.stop(signal.SIGKILL)
        path = mill.state(kind) / name
        for one in (f"{name}-wal", f"{name}-shm"):
            path.with_name(one).unlink(missing_ok=True)
        path.write_bytes(chance.randbytes(200))
        count = len(unit.ends)
        unit.start()
        if needs_person:
            eventually(lambda: len(unit.ends) > count, lambda: f"a refusal\n{unit.tail()}")
            assert unit.ends[-1] == 2, unit.tail()
            assert str(path) in unit.tail()
            for one in (name, f"{name}-wal", f"{name}-shm", *removed):
                path.with_name(one).unlink(missing_ok=True)
        return mill.adapter_recovers(kind)

    return strike


for _kind in ADAPTERS:
    fault(f"offset of {_kind} damaged")(_state_damaged(_kind, "offset.json", needs_person=True))
fault("store of files damaged")(_state_damaged("files", "rolls.sqlite", "offset.json", needs_person=True))
fault("view of modbus damaged")(_state_damaged("modbus", "view.json", needs_person=True))
fault("status of an adapter damaged")(_state_damaged("sql", "status.json", needs_person=False))


# Memory, network, database


@fault("memory of an adapter exhausted")
def _memory(mill: Mill, account: Account, chance: random.Random) -> float:
    kind = chance.choice(ADAPTERS)
    unit = mill.adapters[kind]
    pid, count = unit.pid, len(unit.ends)
    assert pid is not None
    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    before = resource.prlimit(pid, resource.RLIMIT_AS, (used // 2, resource.RLIM_INFINITY))
    until_s = time.monotonic() + 5
    while time.monotonic() < until_s and len(unit.ends) == count:
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_AS, before)
    return mill.adapter_recovers(kind)


def _network(*commands: str) -> Fault:
    def cut(mill: Mill, account: Account, chance: random.Random) -> float:
        mill.proxy.tell(chance.choice(commands))
        time.sleep(chance.uniform(1, 3))
        mill.proxy.tell("flow")
        return mill.adapter_recovers("webhook")

    return cut


fault("network of the webhook cut")(_network("cut", "stall", "hole"))


@fault("network of the webhook gone")
def _no_network(mill: Mill, account: Account, chance: random.Random) -> float:
    mill.proxy.kill()
    time.sleep(chance.uniform(1, 3))
    mill.proxy.start()
    return mill.adapter_recovers("webhook")


@fault("database locked")
def _lock(mill: Mill, account: Account, chance: random.Random) -> float:
    with contextlib.closing(sqlite3.connect(mill.database, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(chance.uniform(3, 6))
        connection.execute("ROLLBACK")
    return mill.adapter_recovers("sql")
