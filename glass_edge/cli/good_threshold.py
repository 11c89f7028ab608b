"""The thresholds of a style from good strips that were not trained on.

Promises: scores come from the line's own strip path; blocks in the selvedge zone and blocks of the body never mix
(cloth so narrow that it is all zone has one threshold); the asked quantile and margin hold for both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.threshold import ThresholdEvidence, block_maxima, threshold_from_good
from glass_edge.cli.good_strips import GoodStrip
from glass_edge.config.recipe import Recipe
from glass_edge.engine.base import Engine
from glass_edge.engine.manifest import SelvedgeSpec, ThresholdSpec
from glass_edge.errors import InputError
from glass_edge.inspection.one_shot import score_strip, smooth_strip
from glass_edge.inspection.selvedge_zone import zone_cells

Maxima = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StripMaxima:
    """Block maxima of one good strip: of its body, and of its selvedge zones."""

    name: str
    body: Maxima
    selvedge: Maxima


@dataclass(frozen=True, slots=True)
class GoodThreshold:
    """Thresholds and what they rest on.

    Attributes:
        spec: as the manifest has it.
        strips: block maxima of each strip.
    """

    spec: ThresholdSpec
    strips: tuple[StripMaxima, ...]


def good_threshold(engine: Engine, recipe: Recipe, strips: Sequence[GoodStrip]) -> GoodThreshold:
    """The recipe's thresholds.

    Args:
        engine: entered.
        recipe: tile, smoothing, blocks, quantile, margin and zone.
        strips: good cloth, at least one.

    Raises:
        InputError: a strip cannot be scored.
    """
    found, lines = [], 0
    for strip in strips:
        one, n_lines = _strip_maxima(engine, recipe, strip)
        found.append(one)
        lines += n_lines
    body, selvedge = (np.concatenate(part) for part in zip(*((one.body, one.selvedge) for one in found), strict=True))
    if not len(body):  # cloth so narrow that all of it is zone: one threshold
        body, selvedge = selvedge, body
    evidence = _evidence(body, recipe, lines)
    spec = ThresholdSpec(
        **dataclasses.asdict(evidence),
        selvedge=_selvedge(selvedge, recipe, lines, evidence.logit),
    )
    return GoodThreshold(spec, tuple(found))


def _strip_maxima(engine: Engine, recipe: Recipe, strip: GoodStrip) -> tuple[StripMaxima, int]:
    settings, stride = recipe.inspection, recipe.score_stride_px
    rows, cells = (max(1, px // stride) for px in (settings.block_height_px, settings.block_width_px))
    try:
        scores = score_strip(
            engine,
            strip.pixels,
            strip.cloth,
            halo_px=recipe.tile.halo_px,
            selvedge_margin_px=recipe.data.selvedge_margin_px,
        )
    except InputError as error:
        raise InputError(f"{strip.name}: {error}") from error
    smooth = smooth_strip(scores, settings.smoothing_sigma_px)
    left, right = zone_cells(smooth, strip.cloth, strip.pixels.shape[1], settings.selvedge_zone_px)
    parts = [smooth.logits[:, :left], smooth.logits[:, left:right], smooth.logits[:, right:]]
    low, body, high = (block_maxima(part, rows, cells) if part.size else np.zeros(0, np.float32) for part in parts)
    return StripMaxima(strip.name, body, np.concatenate([low, high])), scores.n_lines


def _selvedge(maxima: Maxima, recipe: Recipe, lines: int, body_logit: float) -> SelvedgeSpec | None:
    if not len(maxima):
        return None
    evidence = _evidence(maxima, recipe, lines)
    return SelvedgeSpec(
        zone_px=recipe.inspection.selvedge_zone_px,
        offset_logit=max(0.0, evidence.logit - body_logit),
        method=evidence.method,
        n_blocks=evidence.n_blocks,
    )


def _evidence(maxima: Maxima, recipe: Recipe, lines: int) -> ThresholdEvidence:
    settings = recipe.inspection
    return threshold_from_good(
        maxima, settings.threshold_quantile, margin=settings.threshold_margin, good_cloth_lines=lines
    )
