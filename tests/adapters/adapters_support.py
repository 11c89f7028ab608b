"""What the tests of the adapters share: rolls as drafts, events of a real journal, stations and runners."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from glass_edge.adapters.dead_letters import DeadLetters
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.adapters.runner import Runner
from glass_edge.adapters.sink import Sink
from glass_edge.adapters.status_file import StatusFile
from glass_edge.config.adapters import RetrySettings
from glass_edge.config.events import EventSettings
from glass_edge.events.client import EventClient, Received
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.journal import Journal
from glass_edge.events.payloads import GapReason, StationState
from glass_edge.events.schema import Draft, Event
from glass_edge.fabric.defect import Defect, DefectPhase, DefectShape
from glass_edge.fabric.geometry import WebBox, WebScale, to_mm
from glass_edge.fabric.roll import Roll, RollTotals

SCALE = WebScale(mm_per_px=0.1, mm_per_line=0.2)
QUICK = RetrySettings(first_s=0.01, most_s=0.05)
LINES = 200


def defect(roll: Roll, number: int, phase: DefectPhase, length: int = 10) -> Defect:
    first = roll.first_line + 10 * number
    box = WebBox(left_px=100, right_px=130, first_line=first, end_line=first + length)
    box_mm = to_mm(box, SCALE, left_selvedge_px=40, roll_first_line=roll.first_line)
    return Defect(number, phase, DefectShape.POINT, box, box_mm, 1.5, 0.97, 0.8, 3.5)


def roll_drafts(name: str, defects: int = 2, first_line: int = 0) -> list[Draft]:
    """A whole roll: start, defects found, grown and ended, a gap, end: 3 + 3 * defects events."""
    roll = Roll(roll_id=name, style="twill", first_line=first_line)
    maker = DraftMaker(roll, SCALE, is_simulated=True)
    drafts = [maker.roll_start()]
    for number in range(1, defects + 1):
        drafts.append(maker.defect(defect(roll, number, DefectPhase.NEW)))
        drafts.append(maker.defect(defect(roll, number, DefectPhase.UPDATE, 15)))
        drafts.append(maker.defect(defect(roll, number, DefectPhase.END, 20)))
    drafts.append(maker.coverage_gap(first_line + 50, first_line + 60, GapReason.BAD_BLOCK, detail="CRC"))
    drafts.append(maker.roll_end(first_line + LINES, RollTotals(LINES, LINES - 10, 10, defects)))
    return drafts


def idle_draft(lines: int = 0) -> Draft:
    """An event of no roll."""
    return DraftMaker(None, SCALE, is_simulated=True).status(StationState.READY, roll_lines=lines)


def journaled(path: Path, drafts: Iterable[Draft]) -> list[Received]:
    """The drafts as events of a new journal."""
    journal = Journal(path, "loom1")
    try:
        return [Received(event, event.to_json()) for event in journal.append_all(list(drafts))]
    finally:
        journal.close()


def ipc_settings(folder: Path) -> EventSettings:
    return EventSettings.model_validate(
        {
            "journal": folder / "journal.db",
            "publish_endpoint": f"ipc://{folder}/pub",
            "request_endpoint": f"ipc://{folder}/req",
            "beacon_s": 0.1,
        }
    )


def client_of(folder: Path) -> EventClient:
    return EventClient(
        f"ipc://{folder}/pub", f"ipc://{folder}/req", offset_path=folder / "state/offset.json", request_timeout_s=0.3
    )


class Running:
    """A runner in a thread of its own; a context manager that ends it, and raises what it raised."""

    def __init__(self, folder: Path, sink: Sink, *, dead_letter_bytes: int = 1 << 20) -> None:
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._folder = folder
        self._sink = sink
        self._bytes = dead_letter_bytes
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        state = self._folder / "state"
        log = RepeatedLog("test")
        try:
            with client_of(self._folder) as client:
                status = StatusFile(state / "status.json", "test", lambda text: log.tell("status", text))
                letters = DeadLetters(state / "dead-letters.jsonl", self._bytes)
                Runner(client, self._sink, letters=letters, status=status, log=log, retry=QUICK, stop=self.stop).run()
        except BaseException as error:  # noqa: BLE001 - raised where it ends
            self.error = error

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error

    def status(self) -> dict[str, Any]:
        path = self._folder / "state/status.json"
        return json.loads(path.read_text()) if path.exists() else {"state": None, "seq": None}


def offset_seq(folder: Path) -> int:
    path = folder / "state/offset.json"
    return json.loads(path.read_text())["seq"] if path.exists() else 0


def seqs(events: Iterable[Event]) -> list[int]:
    return [event.seq for event in events]


def eventually(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Wait for `condition`; the generous time-out only ends a hanging test."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"never came: {what}"
        time.sleep(0.01)
