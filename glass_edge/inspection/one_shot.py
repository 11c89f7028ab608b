"""The scores of one image or strip, as the live path would give them.

Promises: the same tile plan, merge and smoothing as the threads use, on a strip that is all in memory, and the same
cells: what lies within the halo of the strip's ends, of a selvedge or of the image's edge is not scored. For thresholds
from good cloth and for evaluation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import Engine
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.parameters import inspected_span
from glass_edge.inspection.score_strip import FailedLines, ScoreStrip
from glass_edge.inspection.smoothing import StripSmoother
from glass_edge.inspection.strip_scorer import StripScorer


def score_strip(
    engine: Engine,
    lines: NDArray[np.uint8],
    cloth: ClothSpan,
    *,
    halo_px: int,
    advance_px: int | None = None,
    selvedge_margin_px: int = 0,
) -> ScoreStrip:
    """Unsmoothed logits of the whole strip.

    Args:
        engine: entered by the caller.
        lines: uint8 (n, width) grey or (n, width, 3) RGB.
        cloth: columns that show cloth; the scored ones are `inspected_span` of it.
        halo_px, advance_px: see `StripScorer`.
        selvedge_margin_px: strip inside each selvedge that is not scored, if wider than the halo.

    Returns:
        The scored part: its `first_line` (from the strip's first) is `halo_px`, `first_cell` its first column.

    Raises:
        InputError: the strip, the cloth or the halo does not fit the engine, or no whole cell is left to score.
        EngineError: the engine failed.
    """
    stride, width = engine.score_stride_px, lines.shape[1]
    scorer = StripScorer(engine, halo_px=halo_px, advance_px=advance_px)
    pixels = WebScale(1.0, 1.0)
    span = inspected_span(cloth, width, float(selvedge_margin_px), pixels, halo_px=halo_px, stride_px=stride)
    plan = scorer.begin(0, width, 1 if lines.ndim == 2 else lines.shape[2], span)
    parts: list[ScoreStrip] = []
    for result in [*scorer.push(lines), *scorer.end()]:
        if isinstance(result, FailedLines):
            raise result.error
        if isinstance(result, ScoreStrip):
            parts.append(result)
    if not parts:
        raise InputError(
            f"a strip of {len(lines)} lines has nothing to score: the first and the last {halo_px} lines (the engine's "
            f"halo) do not count, and {2 * halo_px + stride} lines are the least; join images of the same cloth"
        )
    logits = np.concatenate([part.logits for part in parts])
    return ScoreStrip(parts[0].first_line, parts[-1].end_line, stride, plan.first_cell, logits)


def smooth_strip(strip: ScoreStrip, sigma_px: float) -> ScoreStrip:
    """The strip with its logits smoothed by a Gaussian of `sigma_px` camera pixels."""
    smoother = StripSmoother(sigma_px / strip.stride_px)
    rows = smoother.push(strip.logits)
    rest = smoother.flush()
    logits = np.concatenate([rows, rest]) if len(rest) else rows
    return ScoreStrip(strip.first_line, strip.end_line, strip.stride_px, strip.first_cell, logits)
