"""What of a roll's events is logged, and how loud."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs

from glass_edge.events.drafts import DraftMaker
from glass_edge.events.journal import Journal
from glass_edge.events.payloads import GapReason, StationState, StopRequest
from glass_edge.events.schema import Draft
from glass_edge.fabric.defect import Defect, DefectPhase, DefectShape
from glass_edge.fabric.geometry import WebBox, WebScale, to_mm
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.service.event_log import EventLog

SCALE = WebScale(0.1, 0.2)


def _defect(phase: DefectPhase) -> Defect:
    box = WebBox(left_px=100, right_px=130, first_line=10, end_line=20)
    box_mm = to_mm(box, SCALE, left_selvedge_px=40, roll_first_line=0)
    return Defect(1, phase, DefectShape.POINT, box, box_mm, 1.5, 0.97, 0.8, 3.5)


def test_a_roll_in_the_log(tmp_path: Path) -> None:
    maker = DraftMaker(Roll("r-7", "twill", 0), SCALE, True)
    stop = StopRequest(request_id="1", reason="a hole of 4 mm")
    drafts = [
        maker.roll_start(),
        maker.status(StationState.CONTINUOUS_EXECUTION),
        *(maker.defect(_defect(phase)) for phase in (DefectPhase.NEW, DefectPhase.UPDATE, DefectPhase.END)),
        maker.coverage_gap(30, 40, GapReason.SEGMENT_EDGE, detail="edge"),
        maker.coverage_gap(40, 60, GapReason.BAD_BLOCK, detail="CRC"),
        Draft(kind="stop.request", is_simulated=True, is_partial=True, roll_id="r-7", style="twill", payload=stop),
        maker.status(StationState.CONTINUOUS_EXECUTION, fault_code="camera", message="the cable is out"),
        maker.status(StationState.ERROR, fault_code="fatal", message="the engine failed"),
        maker.roll_end(100, RollTotals(100, 70, 30, 1)),
    ]
    with Journal(tmp_path / "j", "loom-1") as journal, capture_logs() as lines:
        emit = EventLog(journal.append)
        kept = [emit(draft) for draft in drafts]
    assert [event.seq for event in kept] == list(range(1, len(drafts) + 1))
    told = [(line["seq"], line["log_level"]) for line in lines]
    grew = kept[3].seq
    assert told == [(seq, "info") for seq in range(1, grew)] + [
        (grew + 1, "info"),
        (grew + 2, "info"),
        (grew + 3, "warning"),
        (grew + 4, "warning"),
        (grew + 5, "warning"),
        (grew + 6, "error"),
        (grew + 7, "info"),
    ]
    assert lines[0] == {
        "event": "roll.start: style twill from line 0, 0.2 mm a line",
        "log_level": "info",
        "kind": "roll.start",
        "station": "loom-1",
        "roll": "r-7",
        "style": "twill",
        "seq": 1,
    }
    said = [line["event"] for line in lines]
    assert "coverage.gap: 0.004 m at 0.008 m not inspected, bad_block (CRC)" in said
    assert "roll.end: 0.020 m woven, 0.014 m inspected, 0.006 m missed, 1 defects" in said
    assert said[2].startswith("defect.new: defect 1 point at 0.002 m along, 6.0 mm across")
