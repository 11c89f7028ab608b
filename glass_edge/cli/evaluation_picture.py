"""Curves of one or more evaluations of the same images in one picture.

Promises: ROC, precision-recall, overlap of regions and regions found over false alarms, each with its figure; what
rests on thresholds from test images says so; where a curve is not defined the panel says that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from glass_edge.cli.evaluation_curves import MOST_POINTS
from glass_edge.cli.plots import BLUE, GREEN, GREY, ORANGE, plot
from glass_edge.glass.evaluation import Curves
from glass_edge.glass.evaluation_figures import YARDSTICK_NOTE, Figures
from glass_edge.glass.metrics_froc import MOST_FALSE_ALARMS, YARDSTICKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE_NAME = "evaluation-curves.png"
_COLOURS = {"image": BLUE, "tile": ORANGE, "pixel": GREEN}
_STYLES, _MARKERS = ("-", "--", ":", "-."), ("x", "+", "1", "2")
_FPR_LIMIT = 0.3
_FALSE_ALARM_TICKS = (0, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class NamedCurves:
    """Curves of one model.

    Attributes:
        name: for the legend.
        curves, figures: of the same images.
    """

    name: str
    curves: Curves
    figures: Figures


def draw_curves(models: Sequence[NamedCurves]) -> bytes:
    """A PNG (needs the extra `report`); the first model is drawn solid, the others dashed or dotted."""
    return plot((11.0, 8.4), (2, 2), partial(_draw, models))


def _draw(models: Sequence[NamedCurves], _: Figure, axes: list[Axes]) -> None:
    roc, precision_recall, pro, false_alarms = axes
    for model, style, marker in zip(models, _STYLES, _MARKERS, strict=False):
        prefix = f"{model.name}: " if len(models) > 1 else ""
        for of, colour in _COLOURS.items():
            _draw_roc(roc, model, of, f"{prefix}{of}s", linestyle=style, color=colour)
            _draw_precision(precision_recall, model, of, f"{prefix}{of}s", linestyle=style, color=colour)
        _draw_pro(pro, model, prefix, style)
        _draw_false_alarms(false_alarms, model, prefix, style, marker)
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    _name(roc, "ROC", "good ones called defective", "defective ones found")
    _name(precision_recall, "Precision and recall", "defective ones found (recall)", "share right of those called so")
    _name(pro, "Overlap of regions (PRO, MVTec)", "good pixels called defective", "mean share of a region found")
    _name(false_alarms, "Regions found over false alarms", "false alarms a good strip", "defect regions found")
    for panel in (roc, precision_recall):
        panel.set_xlim(-0.01, 1.01)
    pro.set_xlim(0, _FPR_LIMIT)
    false_alarms.set_xscale("symlog", linthresh=0.1, linscale=0.6)
    false_alarms.set_xlim(-0.004, MOST_FALSE_ALARMS)
    false_alarms.set_xticks(_FALSE_ALARM_TICKS, [f"{tick:g}" for tick in _FALSE_ALARM_TICKS])
    for wanted in YARDSTICKS:
        false_alarms.axvline(wanted, color=GREY, linewidth=0.8, zorder=0.5)
    note = f"curve and grey lines:\n{YARDSTICK_NOTE}"
    false_alarms.text(
        0.99, 0.02, note, transform=false_alarms.transAxes, ha="right", va="bottom", fontsize=7.5, color=GREY
    )


def _draw_roc(axes: Axes, model: NamedCurves, of: str, label: str, *, linestyle: str, color: str) -> None:
    area, curve = getattr(model.figures, f"{of}_auroc"), model.curves.roc[of].thinned(MOST_POINTS)
    if area is not None:
        axes.plot(curve.x, curve.y, linestyle=linestyle, color=color, label=f"{label}, area {area:.3f}")


def _draw_precision(axes: Axes, model: NamedCurves, of: str, label: str, *, linestyle: str, color: str) -> None:
    ap, curve = getattr(model.figures, f"{of}_ap"), model.curves.precision_recall[of].thinned(MOST_POINTS)
    if ap is not None:
        x, y = np.concatenate([[0.0], curve.x]), np.concatenate([curve.y[:1], curve.y])
        axes.step(x, y, where="pre", linestyle=linestyle, color=color, label=f"{label}, AP {ap:.3f}")


def _draw_pro(axes: Axes, model: NamedCurves, prefix: str, style: str) -> None:
    area, curve = model.figures.pixel_pro, model.curves.pro.thinned(MOST_POINTS)
    if area is not None:
        axes.plot(curve.x, curve.y, style, color=BLUE, label=f"{prefix}area to {_FPR_LIMIT:g}: {area:.3f}")


def _draw_false_alarms(axes: Axes, model: NamedCurves, prefix: str, style: str, marker: str) -> None:
    swept, figures = model.curves.free_response, model.figures
    if swept is None:
        return
    at = "yardsticks, " + ", ".join(f"{figures.recall_at(wanted):.3f} at {wanted:g}" for wanted in YARDSTICKS)
    x, y = np.concatenate([[0.0], swept.false_alarms_per_good_strip]), np.concatenate([[0.0], swept.region_recall])
    axes.step(x, y, style, where="post", color=BLUE, label=f"{prefix}{at}")
    own, found = figures.false_alarms_per_good_strip, figures.region_recall
    if own is not None and found is not None:
        label = f"{prefix}its own threshold, {found:.3f} at {own:.2g}"
        inside = min(own, MOST_FALSE_ALARMS)
        axes.plot([inside], [found], marker, color=ORANGE, markersize=9, markeredgewidth=2, clip_on=False, label=label)


def _name(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(-0.01, 1.02)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")
    else:
        axes.text(0.5, 0.5, "not defined: one class only", transform=axes.transAxes, ha="center", color=GREY)
