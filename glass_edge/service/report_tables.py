"""A report as documents: `roll.json` and `defects.csv`.

Promises: the CSV has a row for each defect of the roll, merged ones too, in the order of their places; the points of
its rows sum up to the roll's; every number has its unit in the name; both are functions of the roll and the table.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from glass_edge.events.schema import format_stamp
from glass_edge.files import csv_bytes
from glass_edge.service.report_data import ReportData, ReportedDefect
from glass_edge.service.roll_record import EngineRecord, FaultRecord, RollRecord, StopRecord

FORMAT = 1
CSV_HEADER = (
    "defect_id",
    "class",
    "shape",
    "is_hole",
    "is_running",
    "along_m",
    "across_mm",
    "width_mm",
    "length_mm",
    "longest_mm",
    "oriented_length_mm",
    "oriented_width_mm",
    "direction_deg",
    "area_mm2",
    "contrast",
    "parts",
    "peak_score",
    "mean_score",
    "peak_logit",
    "points",
    "points_by_size",
    "why_less",
    "first_unit",
    "end_unit",
    "merged_into",
    "has_ended",
    "found_utc",
    "first_line",
    "end_line",
    "left_px",
    "right_px",
    "crop_file",
)


def defects_csv(data: ReportData) -> bytes:
    """`defects.csv`; a value that is not known is empty."""
    return csv_bytes([CSV_HEADER, *(_row(defect) for defect in data.defects)])


def _row(defect: ReportedDefect) -> list[str]:
    payload, points = defect.payload, defect.points
    values = payload.model_dump(mode="json") | {
        "class": defect.kind.value,
        "along_m": payload.along_mm / 1000,
        "longest_mm": defect.longest_mm,
        "points": points.points,
        "points_by_size": points.points_by_size,
        "why_less": points.why_less,
        "first_unit": points.first_unit,
        "end_unit": points.end_unit,
        "has_ended": defect.record.has_ended,
        "found_utc": format_stamp(defect.record.found_utc),
    }
    return [_text(values[name]) for name in CSV_HEADER]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def roll_document(data: ReportData) -> dict[str, Any]:
    """`roll.json`."""
    record, grade = data.record, data.grade
    place = record.place
    return {
        "format": FORMAT,
        "roll_id": place.roll_id,
        "style": place.style,
        "station": record.station,
        "epoch": record.epoch,
        "first_seq": place.seq,
        "occurrence": place.occurrence,
        "state": place.state.value,
        "is_partial": record.is_partial,
        "is_simulated": record.is_simulated,
        "started_utc": format_stamp(place.started_utc),
        "ended_utc": None if place.ended_utc is None else format_stamp(place.ended_utc),
        "last_event_utc": format_stamp(record.last_utc),
        "woven_m": record.woven_m,
        "inspected_m": record.inspected_m,
        "not_inspected_m": record.missed_m,
        "not_inspected": [asdict(total) for total in data.gaps_by_reason()],
        "gaps": [gap.model_dump(mode="json") for gap in record.gaps],
        "scale": {"mm_per_px": record.start.mm_per_px, "mm_per_line": record.start.mm_per_line},
        "cloth_width": _width(record, grade.width_mm),
        "defects": {
            "count": len(data.found),
            "merged": len(data.defects) - len(data.found),
            "by_class": [asdict(total) for total in data.by_class()],
        },
        "grade": {
            **{name: value for name, value in asdict(grade).items() if name not in ("woven_m", "inspected_m")},
            "is_complete": grade.is_complete,
            "limits": {name: limit for name, limit in asdict(data.table.limits).items() if limit is not None},
        },
        "roll_end": None if record.end is None else record.end.model_dump(mode="json"),
        "engines": [_engine(engine) for engine in record.engines],
        "false_alarm_promise": _promise(data),
        "stops": [_stop(stop) for stop in record.stops],
        "faults": [_fault(fault) for fault in record.faults],
        "notes": data.notes,
    }


def _promise(data: ReportData) -> dict[str, Any] | None:
    promised, rate = data.promised_per_100m, data.alarm_rate
    if promised is None or rate is None:
        return None
    return {"promised_per_100m": promised, "verdict": rate.verdict(promised).value, **asdict(rate)}


def _width(record: RollRecord, graded_mm: float) -> dict[str, float | None]:
    end = record.end
    return {
        "graded_mm": graded_mm,
        "mean_mm": None if end is None else end.cloth_width_mm,
        "least_mm": None if end is None else end.cloth_width_least_mm,
        "greatest_mm": None if end is None else end.cloth_width_greatest_mm,
    }


def _engine(engine: EngineRecord) -> dict[str, Any]:
    return {**engine.payload.model_dump(mode="json"), "since_utc": format_stamp(engine.since_utc)}


def _stop(stop: StopRecord) -> dict[str, Any]:
    return {
        **stop.request.model_dump(mode="json"),
        "asked_utc": format_stamp(stop.asked_utc),
        "accepted": None if stop.ack is None else stop.ack.accepted,
        "source": None if stop.ack is None else stop.ack.source,
        "detail": None if stop.ack is None else stop.ack.detail,
        "answered_utc": None if stop.answered_utc is None else format_stamp(stop.answered_utc),
    }


def _fault(fault: FaultRecord) -> dict[str, Any]:
    return {"fault_code": fault.code, "times": fault.times, "last_message": fault.message}
