"""A station as a process of its own, on simulated cloth, and what its journal tells of engines."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from station_support import glass_edge, journal_events


def station_file(
    folder: Path, sockets: Path, recipes: str, bundle: str = "engines/plain/1", trial_min: float = 0.0
) -> Path:
    path = folder / "station.toml"
    path.write_text(
        f'station = "loom1"\nbundle = "{bundle}"\n[recipes]\n{recipes}\n'
        '[camera]\nkind = "loom"\nwidth_px = 200\nends_per_cm = 5\npicks_per_cm = 5\nline_rate_hz = 1000\n'
        "block_lines = 50\n[web]\nmm_per_px = 0.5\nmm_per_line = 0.5\nspan = { left_px = 0, right_px = 200 }\n"
        f"[engine]\ntrial_min = {trial_min}\n"
        f'[events]\njournal = "journal"\npublish_endpoint = "ipc://{sockets}/e"\nrequest_endpoint = "ipc://{sockets}/r"\n'
        '[output]\nfolder = "."\nreports = false\n'
    )
    return path


@contextmanager
def running(station: Path, sent: signal.Signals) -> Iterator[list[str]]:
    """The station until it is left, when it is sent the signal; what it said on standard error is there afterwards."""
    said: list[str] = []
    process = glass_edge("run", "--config", station)
    try:
        assert process.stdout is not None
        assert any(line.startswith("roll ") for line in process.stdout), process.communicate()
        yield said
    finally:
        process.send_signal(sent)
        said.append(process.communicate(timeout=60)[1])


def engines_told(folder: Path) -> list[tuple[str, str]]:
    told = [event["payload"] for event in journal_events(folder / "journal") if event["kind"] == "engine.activated"]
    return [(one["style"], one["version"]) for one in told]


def until(seen: Callable[[], Any], within_s: float = 60.0) -> None:
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        if seen():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")
