from __future__ import annotations

from dataclasses import replace

import pytest
from events_support import MAKER, ROLL, SCALE, defect
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.engine.base import EngineFacts
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.payloads import (
    CoverageGap,
    DefectPayload,
    EngineActivated,
    GapReason,
    RollEnd,
    RollStart,
    StationState,
    Status,
    StopRequest,
)
from glass_edge.events.schema import Kind
from glass_edge.fabric.defect import DefectPhase
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.fabric.roll import RollTotals
from glass_edge.inspection.coverage import GapReason as InspectionReason


@pytest.mark.parametrize(
    ("phase", "kind"),
    [
        (DefectPhase.NEW, Kind.DEFECT_NEW),
        (DefectPhase.UPDATE, Kind.DEFECT_UPDATE),
        (DefectPhase.END, Kind.DEFECT_END),
    ],
)
def test_a_defect_keeps_its_numbers(phase: DefectPhase, kind: Kind) -> None:
    draft = MAKER.defect(defect(3, phase), crop_file="R-17/3.png")
    payload = draft.payload
    assert draft.kind == kind
    assert (draft.roll_id, draft.style, draft.is_simulated, draft.is_partial) == ("R-17", "twill", True, True)
    assert isinstance(payload, DefectPayload)
    # 103 px - 40 px at 0.1 mm; 3 lines after the roll's first at 0.2 mm; 30 px wide, 10 lines long
    assert payload.across_mm == pytest.approx(6.3)
    assert payload.along_mm == pytest.approx(0.6)
    assert (payload.width_mm, payload.length_mm) == (pytest.approx(3.0), pytest.approx(2.0))
    assert (payload.left_px, payload.right_px, payload.first_line, payload.end_line) == (103, 133, 1003, 1013)
    assert (payload.peak_logit, payload.crop_file) == (3.5, "R-17/3.png")


def test_roll_start_and_end() -> None:
    start = MAKER.roll_start(ClothSpan(40, 2000)).payload
    assert start == RollStart(first_line=1000, mm_per_px=0.1, mm_per_line=0.2, left_px=40, right_px=2000)
    draft = MAKER.roll_end(6000, RollTotals(lines_woven=5000, lines_inspected=4500, lines_missed=500, defects=3))
    assert not draft.is_partial
    assert isinstance(draft.payload, RollEnd)
    assert draft.payload.woven_m == pytest.approx(1.0)
    assert draft.payload.inspected_m == pytest.approx(0.9)
    assert draft.payload.missed_m == pytest.approx(0.1)
    with pytest.raises(ValueError, match="needs a roll"):
        DraftMaker(None, SCALE, is_simulated=False).roll_start()


@given(st.integers(1000, 10**7), st.integers(1, 10**6))
def test_a_gap_is_as_long_as_its_lines(first_line: int, lines: int) -> None:
    payload = MAKER.coverage_gap(first_line, first_line + lines, "overrun", detail="queue full").payload
    assert isinstance(payload, CoverageGap)
    assert payload.reason is GapReason.OVERRUN
    assert payload.length_m == pytest.approx(lines * 0.0002)
    assert payload.along_mm == pytest.approx((first_line - ROLL.first_line) * 0.2)


def test_a_gap_without_reason_or_length_is_refused() -> None:
    with pytest.raises(ValueError, match="bored"):
        MAKER.coverage_gap(1000, 1001, "bored")
    with pytest.raises(ValueError, match="empty"):
        MAKER.coverage_gap(1000, 1000, GapReason.OVERRUN)


def test_every_reason_of_the_inspection_can_be_told() -> None:
    for reason in InspectionReason:
        payload = MAKER.coverage_gap(1000, 1001, reason).payload
        assert isinstance(payload, CoverageGap)
        assert payload.reason == reason.value


def test_a_text_of_any_length_can_be_told() -> None:
    gap = MAKER.coverage_gap(1000, 1001, "overrun", detail="é" * 5000).payload
    assert isinstance(gap, CoverageGap)
    assert gap.detail == "é" * 1999 + "…"


def test_a_defect_that_was_merged_names_the_other() -> None:
    payload = MAKER.defect(replace(defect(3, DefectPhase.END), merged_into=1)).payload
    assert isinstance(payload, DefectPayload)
    assert payload.merged_into == 1


def test_status_engine_and_stop() -> None:
    idle = DraftMaker(None, SCALE, is_simulated=False)
    draft = idle.status(StationState.ERROR, fault_code="camera_lost", message="plug the camera in")
    assert (draft.roll_id, draft.style, draft.is_partial) == (None, None, False)
    assert draft.payload == Status(state=StationState.ERROR, fault_code="camera_lost", message="plug the camera in")
    busy = MAKER.status(StationState.CONTINUOUS_EXECUTION, roll_lines=500).payload
    assert isinstance(busy, Status)
    assert (busy.roll_lines, busy.roll_m) == (500, pytest.approx(0.1))
    facts = EngineFacts(runtime="OpenVINO", version="2025.1", device="CPU", precision="f32", threads=2)
    engine = idle.engine_activated(style="twill", version="3", model_sha256="a" * 64, facts=facts, threshold_logit=2.5)
    assert engine.payload == EngineActivated(
        style="twill",
        version="3",
        model_sha256="a" * 64,
        runtime="OpenVINO 2025.1",
        precision="f32",
        threshold_logit=2.5,
    )
    stop = MAKER.stop_request("s1", "hole over 50 mm", defect_id=4, along_mm=12.5)
    assert stop.payload == StopRequest(request_id="s1", reason="hole over 50 mm", defect_id=4, along_mm=12.5)
