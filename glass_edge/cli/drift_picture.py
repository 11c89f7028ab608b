"""Control charts of a style: a panel a figure.

Promises: every roll of the style is at one place in all panels; limits are drawn where they count: from the first roll
after the baseline on, for each engine its own; a figure that was never measured has no panel.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from glass_edge.cli.plots import BLUE, GREEN, GREY, ORANGE, RED, plot
from glass_edge.service.drift_history import FigureChart
from glass_edge.service.drift_report import ModelDrift, StyleDrift, rolls_in_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL_INCHES = (4.6, 2.5)
_COLUMNS = 3
_MOST_NAMES = 8
Places = dict[tuple[int, str], int]


def draw_drift(drift: StyleDrift, title: str) -> bytes:
    """A PNG (needs the extra `report`)."""
    names = [
        number
        for number in range(len(drift.models[0].charts))
        if any(model.charts[number].first for model in drift.models)
    ]
    columns = min(_COLUMNS, max(1, len(names)))
    panels = (max(1, math.ceil(len(names) / columns)), columns)
    size = (_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * panels[0] + 0.9)
    return plot(size, panels, partial(_draw, drift, title, names))


def _draw(drift: StyleDrift, title: str, numbers: list[int], figure: Figure, axes: list[Axes]) -> None:
    places: Places = {roll: place for place, roll in enumerate(rolls_in_order(drift.models), start=1)}
    changes = _changes(drift, places)
    for panel, number in zip(axes, numbers, strict=False):
        spec = drift.models[0].charts[number].figure
        for model in drift.models:
            _draw_chart(panel, model, model.charts[number], places)
        for place, name in changes:
            panel.axvline(place - 0.5, color=GREY, linewidth=1.0, linestyle=":")
            panel.annotate(
                f" {name}", (place - 0.5, 1), xycoords=("data", "axes fraction"), va="top", fontsize=7, color=GREY
            )
        panel.set_title(f"{spec.title}, {spec.unit}" if spec.unit else spec.title)
        panel.set_xlim(0.5, len(places) + 0.5)
        _name_rolls(panel, places)
    for panel in axes[len(numbers) :]:
        panel.set_visible(False)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.supxlabel(
        "Dots: rolls (grey: the baseline; open: left out of it, perhaps further away; red: out of control); dashed: "
        "limits of single rolls.\n"
        "Line: weighted mean, red where it leaves its limits, the band. Dotted: another engine decides.",
        fontsize=8.5,
        x=0.01,
        ha="left",
    )


def _draw_chart(panel: Axes, model: ModelDrift, one: FigureChart, places: Places) -> None:
    first = [places[(roll.seq, roll.roll_id)] for roll in one.first]
    if one.chart is None:
        rolls = (*one.first, *one.later)
        at = [places[(roll.seq, roll.roll_id)] for roll in rolls]
        panel.plot(at, [roll.value for roll in rolls], "o", color=GREY, markersize=3.5)
        return
    base, points = one.chart.baseline, one.chart.points
    later = [places[(roll.seq, roll.roll_id)] for roll in one.later]
    for place, roll, is_odd in zip(first, one.first, base.is_odd, strict=True):
        if is_odd:  # at the edge: one roll that was left out must not squeeze all others
            reach = one.chart.level_reach
            value = min(max(roll.value, base.centre - reach), base.centre + reach)
            panel.plot([place], [value], "o", color=GREY, markersize=3.5, markerfacecolor="white")
        else:
            panel.plot([place], [roll.value], "o", color=GREY, markersize=3.5)
    ends = [first[0], (later or first)[-1]]
    panel.plot(ends, [base.centre] * 2, color=GREY, linewidth=0.8)
    if not points:
        return
    for limit in one.limits:
        panel.plot([first[-1], later[-1]], [limit] * 2, color=ORANGE, linewidth=0.9, linestyle="--")
    low = [base.centre - (point.trend_reach if one.figure.below else 0) for point in points]
    high = [base.centre + point.trend_reach for point in points]
    panel.fill_between(later, low, high, color=GREEN, alpha=0.13, linewidth=0)
    panel.plot(later, [point.trend for point in points], color=GREEN, linewidth=1.1)
    panel.plot(later, [point.value for point in points], "o", color=BLUE, markersize=3.5)
    out = [(at, point.value) for at, point in zip(later, points, strict=True) if point.is_level_out]
    panel.plot([at for at, _ in out], [value for _, value in out], "o", color=RED, markersize=5)
    creeping = [(at, point.trend) for at, point in zip(later, points, strict=True) if point.is_trend_out]
    panel.plot([at for at, _ in creeping], [value for _, value in creeping], "s", color=RED, markersize=2.5)
    if one.figure.name == "score_p999" and model.threshold_logit is not None:
        panel.plot(ends, [model.threshold_logit] * 2, color=RED, linewidth=1.0)
        end = (ends[1], model.threshold_logit)
        panel.annotate("threshold", end, ha="right", va="top", fontsize=7, color=RED)


def _changes(drift: StyleDrift, places: Places) -> list[tuple[int, str]]:
    """Places of the first roll of another engine, and its name."""
    decided = {}
    for model in drift.models:
        for chart in model.charts:
            for roll in (*chart.first, *chart.later):
                decided[places[(roll.seq, roll.roll_id)]] = model.name
    order = sorted(decided)
    return [(now, decided[now]) for before, now in pairwise(order) if decided[now] != decided[before]]


def _name_rolls(panel: Axes, places: Places) -> None:
    """Names below some of the rolls: there is no room for all."""
    step = max(1, math.ceil(len(places) / _MOST_NAMES))
    shown = [(place, roll_id) for (_, roll_id), place in places.items() if (place - 1) % step == 0]
    panel.set_xticks([place for place, _ in shown], [_short(roll_id) for _, roll_id in shown], rotation=30, ha="right")
    panel.tick_params(axis="x", labelsize=7)


def _short(roll_id: str) -> str:
    return roll_id if len(roll_id) <= 14 else f"…{roll_id[-13:]}"
