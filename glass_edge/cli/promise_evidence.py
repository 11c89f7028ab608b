"""What a promised threshold rests on: the manifest's record, the evidence file and its picture.

Promises: the evidence file holds every block's maximum and place, so that the fit can be made again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from glass_edge.calibration.tail_blocks import BlockMaxima
from glass_edge.calibration.tail_promise import FittedTail, Promise
from glass_edge.cli.good_rolls import GoodRolls
from glass_edge.engine.manifest import Manifest, PromiseSpec, TailSpec, ThresholdSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from glass_edge.config.web import WebSettings

EVIDENCE_NAME = "threshold-evidence.json"
PICTURE_NAME = "threshold-evidence.png"


def promised_threshold(
    manifest: Manifest,
    found: Promise,
    blocks: BlockMaxima,
    *,
    web: WebSettings,
    gap_mm: float,
    block_m: float,
) -> ThresholdSpec:
    """The manifest's threshold with its promise; the selvedge zone keeps its offset."""
    before, clusters = manifest.threshold, found.clusters
    tail = None
    if found.tail is not None:
        level = found.tail.level
        tail = TailSpec(
            level_logit=level.fit.level_logit,
            exceeding=level.fit.n_exceeding,
            shape=level.fit.shape,
            scale=level.fit.scale,
            rate_per_m=level.fit.rate_per_m,
            anderson_darling=level.anderson_darling,
            anderson_darling_limit=level.limit_1,
        )
    spec = PromiseSpec(
        asked_per_100m=found.asked_per_100m,
        estimate_per_100m=found.estimate_per_100m,
        low_per_100m=found.low_per_100m,
        high_per_100m=found.high_per_100m,
        confidence=found.confidence,
        method=found.method,
        metres=blocks.metres,
        rolls=blocks.rolls,
        blocks=blocks.maxima.size,
        block_m=block_m,
        mm_per_px=web.mm_per_px,
        mm_per_line=web.mm_per_line,
        gap_mm=gap_mm,
        largest_logit=float(blocks.maxima.max()),
        alarms_per_exceedance=found.alarms_per_exceedance,
        extremal_index=clusters.extremal_index,
        extremal_index_by_chance=clusters.extremal_index_by_chance,
        dispersion=clusters.dispersion,
        tail=tail,
        from_version=manifest.version,
        previous_logit=before.logit,
        evidence=EVIDENCE_NAME,
    )
    how = "upper limit of the fitted tail" if tail else "just above the largest block"
    return ThresholdSpec(
        logit=found.threshold_logit,
        method=f"at most {found.asked_per_100m:g} false alarms in 100 m: {how} of {blocks.metres:.4g} m of good cloth",
        quantile=float(np.exp(-found.block_rate_per_m * blocks.metres / blocks.maxima.size)),
        n_blocks=blocks.maxima.size,
        good_cloth_lines=round(blocks.metres * 1000 / web.mm_per_line),
        selvedge=before.selvedge,
        promise=spec,
    )


def evidence_file(rolls: GoodRolls, spec: PromiseSpec) -> bytes:
    """Rolls, stretches and blocks, as JSON."""
    document: dict[str, Any] = {
        "block_m": spec.block_m,
        "gap_cells": [rolls.gap_rows, rolls.gap_columns],
        "rolls": [
            {
                "name": name,
                "stretches": [
                    {
                        "source": one.source,
                        "along_m": [round(value, 4) for value in one.along_m],
                        "length_m": [round(value, 5) for value in one.lengths_m],
                        "largest_logit": [round(value, 4) for value in one.maxima],
                    }
                    for one in rolls.stretches
                    if one.roll == number
                ],
            }
            for number, name in enumerate(rolls.names)
        ],
    }
    return (json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def evidence_picture(blocks: BlockMaxima, tail: FittedTail, found: Promise) -> bytes:
    """A PNG: metres between alarms by threshold, with bounds; and quantiles of the blocks against the tail's."""
    from glass_edge.cli.plots import plot

    def draw(figure: Figure, axes: list[Axes]) -> None:
        figure.suptitle(
            f"threshold {found.threshold_logit:.3g} for {found.asked_per_100m:g} false alarms in 100 m, from "
            f"{blocks.metres:.4g} m of good cloth"
        )
        _return_levels(axes[0], blocks, tail, found)
        _quantiles(axes[1], blocks, tail)

    return plot((11.0, 4.6), (1, 2), draw)


def _return_levels(axes: Axes, blocks: BlockMaxima, tail: FittedTail, found: Promise) -> None:
    from glass_edge.cli.plots import BLUE, GREY, ORANGE, RED

    thresholds = np.linspace(tail.fit.level_logit, found.threshold_logit * 1.02, 200)
    middle, low, high = (100 / np.maximum(part, 1e-12) for part in np.transpose([tail.per_100m(x) for x in thresholds]))
    axes.fill_betweenx(thresholds, high, low, color=BLUE, alpha=0.15, linewidth=0, label="95 % interval")
    axes.plot(middle, thresholds, color=BLUE, label="fitted tail")
    ordered = np.sort(blocks.maxima[blocks.maxima > tail.fit.level_logit])[::-1]
    share = np.arange(1, len(ordered) + 1) / (blocks.maxima.size + 1)
    seen = blocks.metres / (-blocks.maxima.size * np.log1p(-share) * tail.alarms_per_exceedance)
    axes.plot(seen, ordered, ".", color=GREY, label="blocks of good cloth")
    axes.axvline(100 / found.asked_per_100m, color=ORANGE, linestyle="--", label="asked")
    axes.axhline(found.threshold_logit, color=RED, linestyle="--", label="threshold")
    axes.axvspan(blocks.metres, max(blocks.metres * 10, 100 / found.asked_per_100m), color=GREY, alpha=0.08, lw=0)
    axes.set(
        xscale="log",
        xlim=(float(seen.min()), max(blocks.metres * 10, 110 / found.asked_per_100m)),
        xlabel="metres between false alarms (shaded: beyond the metres seen)",
        ylabel="threshold, logit",
        title="Return levels",
    )
    axes.legend(loc="upper left")


def _quantiles(axes: Axes, blocks: BlockMaxima, tail: FittedTail) -> None:
    from glass_edge.cli.plots import BLUE, GREY

    fit = tail.fit
    ordered = np.sort(blocks.maxima[blocks.maxima > fit.level_logit])
    n = len(ordered)
    share = (np.arange(n) + 0.5) / n
    block_m = blocks.metres / blocks.maxima.size
    none = np.exp(-fit.rate_per_m * block_m)
    falls = -np.log(none + share * (1 - none)) / (fit.rate_per_m * block_m)
    shape = fit.shape if abs(fit.shape) > 1e-8 else 1e-8
    expected = fit.level_logit + fit.scale * (falls**-shape - 1) / shape
    ends = [fit.level_logit, max(float(expected[-1]), float(ordered[-1]))]
    axes.plot(ends, ends, color=GREY)
    axes.plot(expected, ordered, ".", color=BLUE)
    axes.set(
        xlabel="quantile of the fitted tail, logit",
        ylabel="block maximum, logit",
        title=f"Quantiles: shape {fit.shape:.2f}, A2 {tail.level.anderson_darling:.2f} of {tail.level.limit_1:.2f}",
    )
