"""The scores of one image or strip, as the live path would give them.

Promises: the same tile plan, merge and smoothing as the threads use, on a strip that is all in memory; for thresholds
from good cloth and for evaluation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import Engine
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.score_strip import FailedLines, ScoreStrip
from glass_edge.inspection.smoothing import StripSmoother
from glass_edge.inspection.strip_scorer import StripScorer


def score_strip(
    engine: Engine, lines: NDArray[np.uint8], span: ClothSpan, *, halo_px: int, advance_px: int | None = None
) -> ScoreStrip:
    """Unsmoothed logits of the whole strip.

    Args:
        engine: entered by the caller.
        lines: uint8 (n, width) grey or (n, width, 3) RGB, n >= 1.
        span: columns to score.
        halo_px, advance_px: see `StripScorer`.

    Raises:
        InputError: the strip, the span or the halo does not fit the engine.
        EngineError: the engine failed.
    """
    scorer = StripScorer(engine, halo_px=halo_px, advance_px=advance_px)
    plan = scorer.begin(0, lines.shape[1], 1 if lines.ndim == 2 else lines.shape[2], span)
    parts = []
    for result in [*scorer.push(lines), *scorer.end()]:
        if isinstance(result, FailedLines):
            raise result.error
        parts.append(result.logits)
    return ScoreStrip(0, len(lines), engine.score_stride_px, plan.first_cell, np.concatenate(parts))


def smooth_strip(strip: ScoreStrip, sigma_px: float) -> ScoreStrip:
    """The strip with its logits smoothed by a Gaussian of `sigma_px` camera pixels."""
    smoother = StripSmoother(sigma_px / strip.stride_px)
    rows = smoother.push(strip.logits)
    rest = smoother.flush()
    logits = np.concatenate([rows, rest]) if len(rest) else rows
    return ScoreStrip(strip.first_line, strip.end_line, strip.stride_px, strip.first_cell, logits)
