"""Charts of drift as text and as a document.

Promises: the numbers are those of the charts; what cannot be said yet is said to be so.
"""

from __future__ import annotations

from typing import Any

from glass_edge.service.drift_history import FigureChart
from glass_edge.service.drift_report import ModelDrift, StyleDrift

_WANDERS = 0.5  # correlation of neighbouring rolls from which on it is said


def table(drift: StyleDrift) -> str:
    """Text for a terminal: a line a figure, then what to do."""
    model = drift.models[-1]
    n_rolls = max(len(one.first) + len(one.later) for one in model.charts)
    before = f" ({len(drift.models) - 1} before it)" if len(drift.models) > 1 else ""
    lines = [f"style {drift.style}, engine {model.name}{before}: {n_rolls} rolls"]
    rows = [("", "first rolls", "single rolls within", "last", "mean", ""), *(_row(one) for one in model.charts)]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(row[k].rjust(widths[k]) for k in range(1, 5)), row[5]]
        lines.append("  ".join(cells).rstrip())
    for one in model.alarms:
        lines.append(f"{one.figure.title}: {_remedy(one)}")
    return "\n".join(lines)


def _row(one: FigureChart) -> tuple[str, str, str, str, str, str]:
    title = f"{one.figure.title}, {one.figure.unit}" if one.figure.unit else one.figure.title
    values = (*one.first, *one.later)
    last = f"{values[-1].value:.4g}" if values else "-"
    if one.chart is None:
        why = f"too few rolls: {len(one.first)}" if values else "not measured"
        return title, "-", "-", last, "-", "the first rolls do not agree" if one.is_uneven else why
    base = one.chart.baseline
    first = f"{base.centre:.4g} +- {base.sigma:.2g}"
    within = ("" if one.figure.below else "up to ") + " to ".join(f"{limit:.4g}" for limit in one.limits)
    mean = f"{one.chart.points[-1].trend:.4g}" if one.chart.points else "-"
    return title, first, within, last, mean, _says(one)


def _says(one: FigureChart) -> str:
    assert one.chart is not None
    said = []
    if one.is_alarm:
        begun = len(one.later) - 1
        while begun > 0 and one.chart.points[begun - 1].is_alarm:
            begun -= 1
        side = "above" if _is_above(one) else "below"
        said.append(f"DRIFT, {side} since {one.later[begun].roll_id}")
    if (n_odd := int(one.chart.baseline.is_odd.sum())) > 0:
        said.append(f"{n_odd} odd of the first rolls left out")
    if one.chart.baseline.correlation >= _WANDERS:
        said.append("the first rolls wander, so limits are wide")
    return "; ".join(said)


def _is_above(one: FigureChart) -> bool:
    assert one.chart is not None
    point, centre = one.chart.points[-1], one.chart.baseline.centre
    return (point.trend if point.is_trend_out and not point.is_level_out else point.value) > centre


def _remedy(one: FigureChart) -> str:
    return one.figure.above if _is_above(one) or not one.figure.below else one.figure.below


def document(drift: StyleDrift) -> dict[str, Any]:
    """The charts of a style for a program."""
    return {"style": drift.style, "models": [_model(model) for model in drift.models]}


def _model(model: ModelDrift) -> dict[str, Any]:
    return {
        "model_sha256": model.model_sha256,
        "version": model.version or None,
        "threshold_logit": model.threshold_logit,
        "drifting": [one.figure.code for one in model.alarms],
        "figures": [_figure(one) for one in model.charts],
    }


def _figure(one: FigureChart) -> dict[str, Any]:
    told: dict[str, Any] = {"name": one.figure.name, "unit": one.figure.unit, "is_drifting": one.is_alarm}
    rolls: list[dict[str, Any]] = [{"seq": r.seq, "roll_id": r.roll_id, "value": r.value} for r in one.first]
    if one.chart is None:
        return told | {"baseline": None, "first_rolls": rolls, "rolls": []}
    base = one.chart.baseline
    for roll, is_odd in zip(rolls, base.is_odd, strict=True):
        roll["is_left_out"] = bool(is_odd)
    later = [
        {
            "seq": roll.seq,
            "roll_id": roll.roll_id,
            "value": roll.value,
            "mean": point.trend,
            "mean_low": base.centre - point.trend_reach,
            "mean_high": base.centre + point.trend_reach,
            "is_level_out": point.is_level_out,
            "is_mean_out": point.is_trend_out,
            "is_drifting": point.is_alarm,
        }
        for roll, point in zip(one.later, one.chart.points, strict=True)
    ]
    baseline = {
        "centre": base.centre,
        "sigma": base.sigma,
        "correlation": base.correlation,
        "low": one.limits[0] if one.figure.below else None,
        "high": one.limits[-1],
    }
    return told | {"baseline": baseline, "first_rolls": rolls, "rolls": later}
