"""What planted defects say: curves by kind and contrast, as documents and as a table for people.

Promises: every planted defect that was inspected is in exactly one curve and in one row of the CSV; what was left out
and how often the cloth alarmed by itself stand beside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from glass_edge.calibration.alarm_rate import AlarmRate, alarm_rate
from glass_edge.calibration.planted_defects import PlantedKind
from glass_edge.calibration.pod_fit import CONFIDENCE, HitCounts
from glass_edge.calibration.pod_fit_table import PodCurve, SizeReading, pod_curve
from glass_edge.cli.evaluation_report import table_console
from glass_edge.cli.pod_cloth import ClothStretch
from glass_edge.cli.pod_run import SLACK_PX, PlantedOutcome, PodRun
from glass_edge.errors import InputError
from glass_edge.inspection.parameters import selvedge_zone
from glass_edge.service.roll_job import RollJob

FORMAT = 1
RULE = f"found: the box of an announced defect comes within {SLACK_PX} px of the planted one's"
_FAR_FROM_ASKED = 0.1


@dataclass(frozen=True, slots=True)
class NamedCurve:
    """A kind in one contrast.

    Attributes:
        kind: of the defects.
        contrast: asked for; None: its own.
        reached: mean contrast that the picture has.
        curve: what was found.
    """

    kind: PlantedKind
    contrast: float | None
    reached: float
    curve: PodCurve


@dataclass(frozen=True, slots=True)
class PodReport:
    """A whole study.

    Attributes:
        run: what was planted and found.
        curves: by kind and contrast, in the order asked for.
        false_alarms: on the cloth without planting.
    """

    run: PodRun
    curves: tuple[NamedCurve, ...]
    false_alarms: AlarmRate


def make_report(run: PodRun, mm_per_line: float) -> PodReport:
    """Fit every curve.

    Raises:
        InputError: of a kind and contrast, a size was nowhere inspected.
    """
    groups: dict[tuple[PlantedKind, float | None], list[PlantedOutcome]] = {}
    for one in run.outcomes:
        groups.setdefault((one.order.kind, one.order.contrast), []).append(one)
    curves = []
    for (kind, contrast), members in groups.items():
        sizes = sorted({one.order.size_mm for one in run.outcomes})
        planted = [sum(one.order.size_mm == size for one in members) for size in sizes]
        found = [sum(one.order.size_mm == size and one.is_found for one in members) for size in sizes]
        if 0 in planted:
            raise InputError(
                f"{kind} of {sizes[planted.index(0)]:g} mm: none lay where the cloth was inspected; give more cloth, "
                "or a larger --per-size"
            )
        counts = HitCounts(np.array(sizes), np.array(planted), np.array(found))
        reached = float(np.mean([one.planted.contrast for one in members]))
        curves.append(NamedCurve(kind, contrast, reached, pod_curve(counts)))
    metres = run.lines_inspected * mm_per_line / 1000
    return PodReport(run, tuple(curves), alarm_rate(run.false_alarms, metres, are_false=True))


def document(report: PodReport, job: RollJob, stretches: Sequence[ClothStretch], seed: int) -> dict[str, Any]:
    """`pod.json`."""
    manifest, run, rate = job.bundle.manifest, report.run, report.false_alarms
    own = job.inspection.threshold_logit
    zone = selvedge_zone(manifest.threshold)
    return {
        "format": FORMAT,
        "style": manifest.style,
        "version": manifest.version,
        "threshold_logit": manifest.threshold.logit if own is None else own,
        "selvedge_zone": None if zone is None else {"width_px": zone.width_px, "offset_logit": zone.offset_logit},
        "min_area_mm2": job.inspection.min_area_mm2,
        "gap_mm": job.inspection.gap_mm,
        "mm_per_px": job.web.mm_per_px,
        "mm_per_line": job.web.mm_per_line,
        "rule": RULE,
        "confidence": CONFIDENCE,
        "seed": seed,
        "cloth": {
            "sources": sorted({one.source for one in stretches if one.source}),
            "stretches": len(stretches),
            "metres_inspected": rate.metres,
            "passes": run.passes,
        },
        "false_alarms": {
            "count": rate.alarms,
            "per_100m": rate.per_100m,
            "low_per_100m": rate.low_per_100m,
            "high_per_100m": rate.high_per_100m,
        },
        "alarms_beside_planted": run.other_alarms,
        "planted": len(run.outcomes),
        "planted_not_inspected": run.not_inspected,
        "curves": [_curve(one) for one in report.curves],
    }


def _curve(one: NamedCurve) -> dict[str, Any]:
    curve = one.curve
    return {
        "kind": str(one.kind),
        "contrast": one.contrast,
        "contrast_reached": one.reached,
        "a50": _reading(curve.a50),
        "a90": _reading(curve.a90),
        "a90_95": _reading(curve.a90_95),
        "fits": curve.fits,
        "logit_at_1mm": curve.fit.intercept,
        "logit_per_ln_mm": curve.fit.slope,
        "sizes": [
            {
                "size_mm": row.size_mm,
                "planted": row.planted,
                "found": row.found,
                "low": row.low,
                "high": row.high,
                "pod": float(curve.fit.pod(row.size_mm)),
                "pod_lower": float(curve.fit.lower(row.size_mm)),
                "is_off_curve": row.is_off_curve,
            }
            for row in curve.rows
        ],
    }


def _reading(size: SizeReading) -> dict[str, Any]:
    return {"side": str(size.side), "mm": size.mm}


def rows(report: PodReport, job: RollJob, stretches: Sequence[ClothStretch]) -> Iterator[Sequence[object]]:
    """`pod.csv`: every planted defect, its place from the image's left edge and first line."""
    yield (
        *("kind", "contrast", "size_mm", "found", "contrast_reached", "source", "stretch", "pass"),
        *("left_px", "right_px", "first_line", "end_line", "across_mm", "along_mm"),
    )
    for one in report.run.outcomes:
        box, order = one.planted.box, one.order
        yield (
            *(order.kind, "" if order.contrast is None else order.contrast, order.size_mm, int(one.is_found)),
            *(f"{one.planted.contrast:.4f}", stretches[one.place.stretch].source, one.place.stretch, one.number),
            *(box.left_px, box.right_px, box.first_line, box.end_line),
            *(f"{box.left_px * job.web.mm_per_px:.3f}", f"{box.first_line * job.web.mm_per_line:.3f}"),
        )


def print_report(report: PodReport) -> None:
    """The curves as a table, and what goes with them."""
    console = table_console()
    rate = report.false_alarms
    console.print(false_alarm_text(rate))
    sizes = [f"{row.size_mm:g} mm" for row in report.curves[0].curve.rows]
    table = Table("kind", "contrast", *sizes, "a50 mm", "a90 mm", "a90/95 mm")
    for one in report.curves:
        marked = [f"{row.found}/{row.planted}" + ("*" if row.is_off_curve else "") for row in one.curve.rows]
        readings = [str(size) for size in (one.curve.a50, one.curve.a90, one.curve.a90_95)]
        table.add_row(str(one.kind), contrast_text(one), *marked, *readings)
    console.print(table)
    if any(not one.curve.fits for one in report.curves):
        console.print("*: found more or less often than the curve says; sizes are not stated where it does not fit")
    for one in report.curves:
        if one.contrast is not None and abs(one.reached - one.contrast) > _FAR_FROM_ASKED * abs(one.contrast):
            console.print(
                f"{one.kind}: contrast {one.contrast:+g} was asked and {one.reached:+.3g} reached; grey values end at "
                "0 and 255"
            )
    if report.run.not_inspected:
        console.print(f"{report.run.not_inspected} planted defects lay where nothing was inspected and are left out")


def contrast_text(one: NamedCurve) -> str:
    """Like `-0.2`, or `own (0.01)`."""
    return f"own ({one.reached:+.2f})" if one.contrast is None else f"{one.contrast:+g}"


def false_alarm_text(rate: AlarmRate) -> str:
    """Like `1 false alarm in 0.31 m without planting: 323 (8.2 to 1797) in 100 m`."""
    plural = "" if rate.alarms == 1 else "s"
    return (
        f"{rate.alarms} false alarm{plural} in {rate.metres:.4g} m without planting: {_rate(rate.per_100m)} "
        f"({_rate(rate.low_per_100m)} to {_rate(rate.high_per_100m)}) in 100 m"
    )


def _rate(per_100m: float) -> str:
    return f"{per_100m:.0f}" if per_100m >= 100 else f"{per_100m:.2g}"
