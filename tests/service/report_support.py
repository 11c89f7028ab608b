"""What the tests of reports share: journals of rolls written with the real `Journal`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glass_edge.engine.base import EngineFacts
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.journal import Journal
from glass_edge.events.payloads import DefectPayload, RollEnd, StationState, StopAck
from glass_edge.events.schema import Draft, Kind
from glass_edge.fabric.defect import DefectShape
from glass_edge.fabric.geometry import WebScale
from glass_edge.fabric.roll import Roll

SCALE = WebScale(mm_per_px=0.1, mm_per_line=0.2)
STATION = "loom1"


def maker(roll_id: str | None = "R-17", style: str = "twill") -> DraftMaker:
    roll = None if roll_id is None else Roll(roll_id=roll_id, style=style, first_line=0)
    return DraftMaker(roll, SCALE, is_simulated=False)


def defect(
    number: int, along_mm: float, across_mm: float, length_mm: float, width_mm: float, **more: object
) -> DefectPayload:
    values: dict[str, Any] = {
        "defect_id": number,
        "shape": DefectShape.BLOCK,
        "along_mm": along_mm,
        "across_mm": across_mm,
        "length_mm": length_mm,
        "width_mm": width_mm,
        "area_mm2": length_mm * width_mm,
        "peak_score": 0.97,
        "mean_score": 0.9,
        "peak_logit": 3.5,
        "first_line": round(along_mm / SCALE.mm_per_line),
        "end_line": round((along_mm + length_mm) / SCALE.mm_per_line) + 1,
        "left_px": max(0, round(across_mm / SCALE.mm_per_px)),
        "right_px": max(0, round(across_mm / SCALE.mm_per_px)) + round(width_mm / SCALE.mm_per_px) + 1,
    }
    return DefectPayload.model_validate(values | more)


def told(kind: Kind, payload: DefectPayload, make: DraftMaker) -> Draft:
    assert make.roll is not None
    return Draft(
        kind=kind,
        is_simulated=make.is_simulated,
        is_partial=True,
        roll_id=make.roll.roll_id,
        style=make.roll.style,
        payload=payload,
    )


def roll_end(
    make: DraftMaker, woven_m: float, missed_m: float = 0.0, *, defects: int = 0, width_mm: float | None = None
) -> Draft:
    assert make.roll is not None
    lines = round(1000 * woven_m / SCALE.mm_per_line)
    missed = round(1000 * missed_m / SCALE.mm_per_line)
    payload = RollEnd(
        end_line=lines,
        lines_woven=lines,
        lines_inspected=lines - missed,
        lines_missed=missed,
        woven_m=woven_m,
        inspected_m=woven_m - missed_m,
        missed_m=missed_m,
        defects=defects,
        cloth_width_mm=width_mm,
    )
    return Draft(
        kind=Kind.ROLL_END,
        is_simulated=make.is_simulated,
        is_partial=False,
        roll_id=make.roll.roll_id,
        style=make.roll.style,
        payload=payload,
    )


def engine(threshold_logit: float = 1.75, version: str = "2025.3") -> Draft:
    facts = EngineFacts(runtime="OpenVINO", version="2026.4", precision="f32", device="CPU", threads=1)
    return maker(None).engine_activated(
        style="twill", version=version, model_sha256="0" * 64, facts=facts, threshold_logit=threshold_logit
    )


def stop_ack(make: DraftMaker, request_id: str, *, accepted: bool = True) -> Draft:
    return Draft(
        kind=Kind.STOP_ACK,
        is_simulated=False,
        is_partial=make.roll is not None,
        roll_id=make.roll.roll_id if make.roll else None,
        style=make.roll.style if make.roll else None,
        payload=StopAck(request_id=request_id, accepted=accepted, source="plc-7"),
    )


def write_journal(path: Path, drafts: Iterable[Draft]) -> Path:
    with Journal(path, STATION) as journal:
        journal.append_all(list(drafts))
    return path


def whole_roll(
    payloads: Sequence[DefectPayload],
    *,
    woven_m: float,
    width_mm: float | None = 1500.0,
    missed_m: float = 0.0,
    between: Sequence[Draft] = (),
    roll_id: str = "R-17",
    style: str = "twill",
) -> list[Draft]:
    """A complete roll with these defects."""
    make = maker(roll_id, style)
    drafts = [engine(), make.roll_start(), make.status(StationState.CONTINUOUS_EXECUTION)]
    for payload in payloads:
        drafts += [told(Kind.DEFECT_NEW, payload, make), told(Kind.DEFECT_END, payload, make)]
    drafts += between
    drafts.append(roll_end(make, woven_m, missed_m, defects=len(payloads), width_mm=width_mm))
    return drafts


def random_defects(count: int, roll_m: float, width_mm: float, seed: int = 0) -> list[DefectPayload]:
    """Defects of all classes, sizes as on cloth: mostly small, few long."""
    random = np.random.default_rng(seed)
    payloads = []
    for number in range(1, count + 1):
        shape = list(DefectShape)[random.choice(4, p=[0.2, 0.35, 0.15, 0.3])]
        length_mm, width = {
            DefectShape.WARP_LINE: (random.lognormal(4, 1), 1.5),
            DefectShape.WEFT_LINE: (1.5, min(width_mm * 0.95, random.lognormal(4, 1.2))),
            DefectShape.BLOCK: (random.uniform(4, 40), random.uniform(4, 40)),
            DefectShape.POINT: (random.uniform(1, 4), random.uniform(1, 4)),
        }[shape]
        along_mm = random.uniform(0, 1000 * roll_m - 50)
        across_mm = random.uniform(0, width_mm - width)
        length_mm = min(length_mm, 1000 * roll_m - along_mm)
        is_hole = shape is DefectShape.BLOCK and random.random() < 0.1
        payloads.append(
            defect(number, along_mm, across_mm, float(length_mm), float(width), shape=shape, is_hole=is_hole)
        )
    return payloads


def save_crop(crops: Path, name: str, pixels: np.ndarray[Any, Any]) -> str:
    path = crops / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return name
