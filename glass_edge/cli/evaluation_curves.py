"""Curves of an evaluation as CSV.

Promises: every point is a corner of the exact curve (`metrics_curves`); long curves are thinned to 1000 points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from glass_edge.files import csv_bytes, write_bytes
from glass_edge.glass.evaluation import Curves
from glass_edge.glass.metrics_curves import Curve
from glass_edge.glass.metrics_froc import FreeResponse

ROC_NAME = "evaluation-roc.csv"
PRECISION_RECALL_NAME = "evaluation-precision-recall.csv"
PRO_NAME = "evaluation-pro.csv"
FREE_RESPONSE_NAME = "evaluation-false-alarms.csv"
MOST_POINTS = 1000


def write_curves(curves: Curves, out: Path) -> list[Path]:
    """Write the CSV files into `out`; returns their paths."""
    tables: dict[str, tuple[Sequence[str], Iterable[Sequence[object]]]] = {
        ROC_NAME: (
            ("of", "threshold_logit", "false_positive_rate", "true_positive_rate"),
            _rows(curves.roc),
        ),
        PRECISION_RECALL_NAME: (("of", "threshold_logit", "recall", "precision"), _rows(curves.precision_recall)),
        PRO_NAME: (("threshold_logit", "false_positive_rate", "region_overlap"), _points(curves.pro)),
        FREE_RESPONSE_NAME: (
            ("threshold_logit", "false_alarms_per_good_strip", "region_recall"),
            _free_response_rows(curves.free_response),
        ),
    }
    for name, (header, rows) in tables.items():
        shown = [[value if isinstance(value, str) else f"{value:.8g}" for value in row] for row in rows]
        write_bytes(out / name, csv_bytes([header, *shown]))
    return [out / name for name in tables]


def _rows(curves: dict[str, Curve]) -> Iterable[Sequence[object]]:
    return ((name, *point) for name, curve in curves.items() for point in _points(curve))


def _points(curve: Curve) -> Iterable[Sequence[object]]:
    thinned = curve.thinned(MOST_POINTS)
    return zip(thinned.thresholds, thinned.x, thinned.y, strict=True)


def _free_response_rows(swept: FreeResponse | None) -> Iterable[Sequence[object]]:
    if swept is None:
        return []
    return zip(swept.thresholds, swept.false_alarms_per_good_strip, swept.region_recall, strict=True)
