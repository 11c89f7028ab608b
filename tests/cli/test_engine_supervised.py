"""A station under a supervisor that does as systemd does, and engines that passed every test and fail on cloth."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from failing_bundles import Failure, make_failing_bundle
from notify_peer import NotifyPeer
from station_processes import engines_told, station_file, until
from station_support import glass_edge, journal_events, make_bundle

Run = Callable[..., tuple[int, str, str]]
LINE_RATE_HZ = 1000
WATCHDOG_S = 10.0
RESTART_S = 1.0

pytestmark = pytest.mark.slow


class Supervisor:
    """Starts the station again whenever it fails, and ends one that feeds its watchdog no more with SIGABRT."""

    def __init__(self, station: Path, folder: Path) -> None:
        self._station, self._folder = station, folder
        self._process: subprocess.Popen[str] | None = None
        self._is_ending = threading.Event()
        self.codes: list[int] = []
        self.said: list[str] = []
        self.pids: list[int] = []
        self._thread = threading.Thread(target=self._supervise)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_ending.set()
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
        self._thread.join(90)
        assert not self._thread.is_alive()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def _supervise(self) -> None:
        with NotifyPeer(self._folder) as peer:
            environment = os.environ | {"NOTIFY_SOCKET": peer.address, "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}
            while not self._is_ending.is_set():
                self._process = process = glass_edge("run", "--config", self._station, "--json", env=environment)
                self.pids.append(process.pid)
                output: list[str] = []
                reader = threading.Thread(
                    target=lambda process=process, output=output: output.extend(process.communicate())
                )
                reader.start()
                fed_s = None
                while process.poll() is None:
                    for message in peer.listen(0.2):
                        if {"READY", "WATCHDOG"} & message.keys():
                            fed_s = time.monotonic()
                    if fed_s is not None and time.monotonic() - fed_s > WATCHDOG_S and not self._is_ending.is_set():
                        process.send_signal(signal.SIGABRT)
                        process.wait(30)
                reader.join()
                self.codes.append(process.returncode)
                self.said.append(output[1])
                if process.returncode == 0:
                    return
                self._is_ending.wait(RESTART_S)


def loom(tmp_path: Path, sockets: Path) -> Path:
    """A station whose cloth has holes, one after the other, which it finds."""
    station = station_file(tmp_path, sockets, 'plain = "engines/plain"', trial_min=10.0)
    text = station.read_text().replace('kind = "loom"\n', 'kind = "loom"\ndefects = "hole:2@12x12"\n')
    station.write_text(text + "[inspection]\nengine_failures_to_stop = 1\n")
    return station


def told(folder: Path, kind: str) -> list[dict[str, Any]]:
    if not (folder / "journal").exists():
        return []
    try:
        return [event["payload"] for event in journal_events(folder / "journal") if event["kind"] == kind]
    except Exception:  # noqa: BLE001 - it is just being made
        return []


def faults(folder: Path, code: str) -> list[str]:
    return [one["message"] for one in told(folder, "status") if one.get("fault_code") == code]


@pytest.mark.parametrize("failure", ["crash", "hang", "kill"])
def test_a_bad_engine_is_gone_by_itself(tmp_path: Path, sockets: Path, run: Run, failure: str) -> None:
    make_bundle(tmp_path / "engines")
    if failure == "kill":
        stick = make_bundle(tmp_path / "stick", version="2").folder
    else:
        bad: Failure = "crash" if failure == "crash" else "hang"
        stick = make_failing_bundle(tmp_path / "stick", bad, version="2", mark="hole").folder
    station = loom(tmp_path, sockets)
    with Supervisor(station, tmp_path) as supervisor:
        until(lambda: told(tmp_path, "defect.end"))
        assert run("engine", "install", stick, "--config", station)[0] == 0
        run("engine", "activate", "plain", "2", "--config", station)  # it may die before it can be asked
        if failure == "kill":
            time.sleep(random.Random(os.getpid()).uniform(0.0, 4.0))
            supervisor.kill()
        until(lambda: faults(tmp_path, "engine_rolled_back"))
        found = len(told(tmp_path, "defect.end"))
        until(lambda: len(told(tmp_path, "defect.end")) > found + 1)  # the engine before finds what it did
    sent = {"crash": signal.SIGSEGV, "hang": signal.SIGABRT, "kill": signal.SIGKILL}[failure]
    assert supervisor.codes == [-sent, 0]
    assert "back from engine plain 2 to plain 1: the station ended within the trial" in supervisor.said[1]
    assert engines_told(tmp_path) == [("plain", "1"), ("plain", "2"), ("plain", "1")]
    versions = json.loads(run("engine", "list", "--config", station, "--json")[1])["styles"]["plain"]
    assert [one["version"] for one in versions if one["refused"]] == ["2"]


def test_an_engine_that_gives_no_numbers_gives_way_without_a_restart(tmp_path: Path, sockets: Path, run: Run) -> None:
    make_bundle(tmp_path / "engines")
    stick = make_failing_bundle(tmp_path / "stick", "nan", version="2", mark="hole").folder
    station = loom(tmp_path, sockets)
    with Supervisor(station, tmp_path) as supervisor:
        until(lambda: told(tmp_path, "defect.end"))
        assert run("engine", "install", stick, "--config", station)[0] == 0
        assert run("engine", "activate", "plain", "2", "--config", station)[0] == 0
        until(lambda: faults(tmp_path, "engine_rolled_back"))
        found = len(told(tmp_path, "defect.end"))
        until(lambda: len(told(tmp_path, "defect.end")) > found + 1)
    assert len(supervisor.pids) == 1
    assert engines_told(tmp_path) == [("plain", "1"), ("plain", "2"), ("plain", "1")]
    gaps = told(tmp_path, "coverage.gap")
    failed = [gap["end_line"] - gap["first_line"] for gap in gaps if gap["reason"] == "engine_error"]
    assert 0 < sum(failed) < 0.5 * LINE_RATE_HZ
    assert {gap["reason"] for gap in gaps} == {"segment_edge", "engine_error"}
    (end,) = told(tmp_path, "roll.end")
    assert end["lines_missed"] == sum(gap["end_line"] - gap["first_line"] for gap in gaps)
