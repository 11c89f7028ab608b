"""Curves of the probability of detection over size: a panel a kind, a colour a contrast.

Promises: points with their exact intervals stand beside every curve; the band is the one-sided 95 % bound to either
side; the caption tells the false alarms that the same threshold costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from glass_edge.cli.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, plot
from glass_edge.cli.pod_report import NamedCurve, PodReport, contrast_text, false_alarm_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)
_PANEL_INCHES = (5.0, 3.9)
_WANTED = 0.9
_CURVE_POINTS = 200
_ASIDE = 0.03  # of ln(size), so that intervals of several contrasts can be told apart


def draw_curves(report: PodReport, title: str) -> bytes:
    """A PNG (needs the extra `report`)."""
    kinds = list(dict.fromkeys(one.kind for one in report.curves))
    columns = 1 if len(kinds) == 1 else 2 if len(kinds) in (2, 4) else 3
    panels = (math.ceil(len(kinds) / columns), columns)
    size = (_PANEL_INCHES[0] * panels[1], _PANEL_INCHES[1] * panels[0] + 0.9)
    return plot(size, panels, partial(_draw, report, title))


def _draw(report: PodReport, title: str, figure: Figure, axes: list[Axes]) -> None:
    kinds = list(dict.fromkeys(one.kind for one in report.curves))
    contrasts = list(dict.fromkeys(one.contrast for one in report.curves))
    for panel, kind in zip(axes, kinds, strict=False):
        curves = [one for one in report.curves if one.kind == kind]
        for place, one in enumerate(curves):
            colour = _COLOURS[contrasts.index(one.contrast) % len(_COLOURS)]
            _draw_curve(panel, one, colour, _ASIDE * (place - (len(curves) - 1) / 2))
        _frame(panel, curves)
        panel.set_title(str(kind).replace("_", " "))
    for panel in axes[len(kinds) :]:
        panel.set_visible(False)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.supxlabel(
        f"{false_alarm_text(report.false_alarms)}.\nLine: logit of ln(size); band: 95 % bound to either side; points: "
        "share found with exact 95 % interval, open where the curve does not fit.",
        fontsize=8.5,
        x=0.01,
        ha="left",
    )


def _draw_curve(panel: Axes, one: NamedCurve, colour: str, aside: float) -> None:
    rows, fit = one.curve.rows, one.curve.fit
    sizes = np.geomspace(rows[0].size_mm, rows[-1].size_mm, _CURVE_POINTS)
    label = f"contrast {contrast_text(one)}: a90 {one.curve.a90}, a90/95 {one.curve.a90_95}"
    panel.fill_between(sizes, fit.lower(sizes), fit.upper(sizes), color=colour, alpha=0.13, linewidth=0)
    panel.plot(sizes, fit.pod(sizes), color=colour, label=label)
    for row in rows:
        at, share = row.size_mm * math.exp(aside), row.found / row.planted
        panel.plot([at, at], [row.low, row.high], color=colour, linewidth=0.9, alpha=0.75)
        face = "white" if row.is_off_curve else colour
        panel.plot([at], [share], "o", color=colour, markersize=4.5, markerfacecolor=face)


def _frame(panel: Axes, curves: Sequence[NamedCurve]) -> None:
    panel.axhline(_WANTED, color=GREY, linewidth=0.9, linestyle="--")
    sizes = [row.size_mm for row in curves[0].curve.rows]
    panel.set_xscale("log")
    panel.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
    panel.set_xticks(sizes, [f"{size:.3g}" for size in sizes])
    panel.minorticks_off()
    panel.set_ylim(-0.02, 1.02)
    panel.set_xlabel("size, mm")
    panel.set_ylabel("probability of detection")
    panel.legend(loc="upper left", bbox_to_anchor=(0.0, -0.16), frameon=False)
