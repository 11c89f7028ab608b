"""Plots of a training run: figures over the epochs, and scores of held-out cloth (extra `report`).

Promises: every logged figure that is known is drawn, with the chosen epoch marked; what held-out cloth says never
mixes with labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from glass_edge.cli.plots import BLUE, GREEN, GREY, ORANGE, RED, plot
from glass_edge.cli.training_metrics import TrainingMetrics
from glass_edge.cli.training_scores import HeldOutScores, Logits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOSSES = {
    "total": ("total", "black"),
    "normal": ("normal: good points", BLUE),
    "gaussian": ("gas: anomalous features", ORANGE),
    "focal": ("las: painted defects", GREEN),
}
_SHARES = {"normal_right": ("good points", BLUE), "anomalous_right": ("anomalous features", ORANGE)}
_SELECTION = "selection"
_SELECTION_LABELS = {
    "selection": "measure that chooses",
    "selection_recall": "synthetic defects above all good cloth",
    "selection_partial": "above a block of its worst twentieth",
}
_COLOURS = (BLUE, ORANGE, GREEN)
_BINS = 80
_ABOVE = 4.0
"""The axis of scores ends so many times further above the threshold than that lies above the middle of good cloth."""


def draw_losses(metrics: TrainingMetrics, chosen: int | None) -> bytes:
    """A PNG: losses, shares on the proper side and, if there is one, the measure of held-out cloth over the epochs.

    Args:
        metrics: of at least one epoch.
        chosen: epoch that was chosen by held-out cloth; None: the last one became the model.
    """
    panels = 3 if any(name.startswith(_SELECTION) for name in metrics.names) else 2
    return plot((4.3 * panels, 3.9), (1, panels), partial(_draw_losses, metrics, chosen))


def draw_scores(scores: HeldOutScores) -> bytes:
    """A PNG: histograms of cells, and which share of good tiles and of synthetic defects each threshold would call."""
    return plot((10.6, 3.9), (1, 2), partial(_draw_scores, scores))


def _draw_losses(metrics: TrainingMetrics, chosen: int | None, _: Figure, axes: list[Axes]) -> None:
    from matplotlib.ticker import MaxNLocator

    for name, (label, colour) in _LOSSES.items():
        _line(axes[0], metrics, name, label, colour)
    for name, (label, colour) in _SHARES.items():
        _line(axes[1], metrics, name, label, colour)
    if len(axes) > 2:
        others = [name for name in metrics.names if name.startswith(_SELECTION) and name != _SELECTION]
        for name, colour in zip(others, _COLOURS, strict=False):
            _line(axes[2], metrics, name, _SELECTION_LABELS.get(name, name), colour)
        _line(axes[2], metrics, _SELECTION, _SELECTION_LABELS[_SELECTION], "black")
    titles = ("Losses", "Share on the proper side", "Held-out cloth, without labels")
    for panel, title in zip(axes, titles, strict=False):
        panel.set_title(title)
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.margins(x=0.03)
        if chosen is not None:
            panel.axvline(chosen, color=RED, linewidth=1, label=f"chosen: epoch {chosen}")
        panel.legend(loc="best")
    axes[0].set_ylim(bottom=0)
    for panel in axes[1:]:
        panel.set_ylim(-0.02, 1.02)


def _line(axes: Axes, metrics: TrainingMetrics, name: str, label: str, colour: str) -> None:
    values = metrics.column(name)
    if values:
        axes.plot(list(values), list(values.values()), "-o", markersize=3, color=colour, label=label)


def _draw_scores(scores: HeldOutScores, _: Figure, axes: list[Axes]) -> None:
    threshold = scores.threshold.logit
    groups = {"good cells": scores.good_cells, "cells of synthetic defects": scores.synthetic_cells}
    low, high, is_cut = _range(list(groups.values()), scores.good_cells, threshold)
    cells, called = axes
    _histogram(cells, groups, low, high)
    cells.set_yscale("log")
    cells.set_title("Cells of held-out tiles")
    cells.set_ylabel("share of the cells in a bin")
    above = " (higher ones in the last bin)" if is_cut else ""
    cells.set_xlabel(f"smoothed logit{above}")
    peaks = {
        f"good tiles ({len(scores.good_peaks)})": (scores.good_peaks, np.ones(len(scores.good_peaks))),
        f"synthetic defects (in {scores.synthetic_tiles} tiles)": (scores.defect_peaks, scores.defect_weights),
    }
    for (label, (values, weights)), colour in zip(peaks.items(), (BLUE, ORANGE), strict=True):
        if values.size:
            order = np.argsort(values)[::-1]
            share = np.cumsum(weights[order]) / weights.sum()
            x = np.concatenate([[high], np.clip(values[order], low, high), [low]])
            called.step(x, np.concatenate([[0.0], share, [1.0]]), where="post", color=colour, label=label)
    called.set_title("Tiles and defects that a threshold would call")
    called.set_ylabel("share with a logit this high")
    called.set_xlabel("threshold on the smoothed logit")
    called.set_ylim(-0.02, 1.02)
    for panel in axes:
        panel.set_xlim(low, high)
        panel.axvline(threshold, color=GREY, linewidth=1, linestyle="--", label=f"threshold {threshold:.2f}")
        panel.legend(loc="best")


def _range(groups: Sequence[Logits], good: Logits, threshold: float) -> tuple[float, float, bool]:
    """What of the axis is shown, and whether scores lie beyond: some defects would squeeze all others together."""
    every = np.concatenate(groups)
    low, highest = min(float(every.min()), threshold), max(float(every.max()), threshold)
    middle = float(np.median(good))
    wanted = threshold + _ABOVE * max(threshold - middle, 1e-3)
    low = max(low, middle - _ABOVE * max(threshold - middle, 1e-3))
    high = min(highest, wanted)
    return low, high if high > low else low + 1.0, highest > wanted


def _histogram(axes: Axes, groups: dict[str, Logits], low: float, high: float) -> None:
    edges = np.linspace(low, high, _BINS + 1)
    for (label, values), colour in zip(groups.items(), (BLUE, ORANGE), strict=True):
        if not values.size:
            continue
        counts, _ = np.histogram(np.clip(values, low, high), edges)
        shares = counts / values.size
        axes.stairs(shares, edges, fill=True, color=colour, alpha=0.35)
        axes.stairs(shares, edges, color=colour, label=f"{label} ({values.size})")
