"""What the tests of the event layer share: drafts, settings, a place short enough for socket files."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from glass_edge.config.events import EventSettings
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.payloads import StationState
from glass_edge.events.schema import Draft
from glass_edge.fabric.defect import Defect, DefectPhase, DefectShape
from glass_edge.fabric.geometry import WebBox, WebScale, to_mm
from glass_edge.fabric.roll import Roll

SCALE = WebScale(mm_per_px=0.1, mm_per_line=0.2)
ROLL = Roll(roll_id="R-17", style="twill", first_line=1000)
MAKER = DraftMaker(ROLL, SCALE, is_simulated=True)


def defect(number: int, phase: DefectPhase = DefectPhase.NEW) -> Defect:
    box = WebBox(left_px=100 + number, right_px=130 + number, first_line=1000 + number, end_line=1010 + number)
    box_mm = to_mm(box, SCALE, left_selvedge_px=40, roll_first_line=ROLL.first_line)
    return Defect(number, phase, DefectShape.POINT, box, box_mm, 1.5, 0.97, 0.8, 3.5)


def numbered(number: int) -> Draft:
    """A draft that can be told apart by its number."""
    return MAKER.status(StationState.READY, roll_lines=number)


def ipc_settings(folder: Path, **changes: object) -> EventSettings:
    values: dict[str, object] = {
        "journal": folder / "journal.db",
        "publish_endpoint": f"ipc://{folder}/pub",
        "request_endpoint": f"ipc://{folder}/req",
        "beacon_s": 0.1,
    }
    return EventSettings.model_validate(values | changes)


def eventually(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Wait for `condition`; the generous time-out only ends a hanging test."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"never came: {what}"
        time.sleep(0.01)
