"""The alarm threshold from good cloth.

Promises: rests on block maxima of smoothed scores of good cloth and on nothing else (no label, no defect); never claims
a quantile that its number of blocks cannot carry, and says in words what it rests on.

A block maximum is the largest smoothed logit in a piece of cloth of a stated size; neighbouring cells are strongly
dependent, blocks much less. Of n exchangeable blocks the largest is exceeded by the next one with probability
1 / (n + 1), so the largest observed maximum stands for the quantile n / (n + 1) and no higher one can be read off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError


@dataclass(frozen=True, slots=True)
class ThresholdEvidence:
    """A threshold and what it rests on; the fields are those of the manifest's threshold.

    Attributes:
        logit: a defect is where the smoothed logit is at or above this.
        method: how it was found, in a sentence.
        quantile: quantile of the block maxima that `logit` less the margin stands for.
        n_blocks: blocks of good cloth.
        good_cloth_lines: camera lines of good cloth.
    """

    logit: float
    method: str
    quantile: float
    n_blocks: int
    good_cloth_lines: int


def block_maxima(smoothed: NDArray[np.float32], block_rows: int, block_cells: int) -> NDArray[np.float32]:
    """Largest smoothed logit of each block of a good strip.

    The strip is divided into as many nearly equal blocks as fit with at least the asked size (one, when it is smaller),
    so that every cell counts once.

    Args:
        smoothed: float32 (rows, cells), finite.
        block_rows, block_cells: size of a block along and across, in score cells.

    Returns:
        float32 (blocks,).

    Raises:
        InputError: the strip is empty or holds values that are no numbers, or a block size is below 1.
    """
    if block_rows < 1 or block_cells < 1:
        raise InputError(f"blocks of {block_rows} x {block_cells} cells: at least one cell each way is needed")
    if smoothed.ndim != 2 or smoothed.size == 0:
        raise InputError(f"scores of shape {smoothed.shape}: rows and columns of good cloth are needed")
    if not np.isfinite(smoothed).all():
        raise InputError("the scores of the good cloth hold values that are no numbers; check the engine")
    starts = [
        np.arange(n) * length // n
        for length, size in zip(smoothed.shape, (block_rows, block_cells), strict=True)
        for n in [max(1, length // size)]
    ]
    maxima = np.maximum.reduceat(np.maximum.reduceat(smoothed, starts[0], axis=0), starts[1], axis=1)
    return np.asarray(maxima, np.float32).ravel()


def threshold_from_good(
    maxima: NDArray[np.floating], quantile: float, *, margin: float = 0.0, good_cloth_lines: int = 0
) -> ThresholdEvidence:
    """Threshold at a quantile of the block maxima of good cloth, plus a margin.

    The quantile is an order statistic (no interpolation: the smallest maximum with at least that share of the maxima at
    or below it). A quantile above 1 - 1/n cannot be read off n blocks: then the largest maximum is taken and the
    evidence names n / (n + 1), the quantile it does stand for, and says that the asked one was not reached.

    Args:
        maxima: largest smoothed logits of blocks of good cloth, any shape.
        quantile: asked quantile, above 0 and at most 1.
        margin: added to the quantile, logits, from 0.
        good_cloth_lines: camera lines of good cloth behind the maxima, for the record.

    Raises:
        InputError: no maxima, values that are no numbers, or a quantile or margin out of range.
    """
    values = np.sort(np.asarray(maxima, np.float64).ravel())
    n = values.size
    if n == 0:
        raise InputError("no block maxima of good cloth: give at least one good strip")
    if not np.isfinite(values).all():
        raise InputError("block maxima of good cloth that are no numbers; check the engine")
    if not 0.0 < quantile <= 1.0:
        raise InputError(f"quantile = {quantile}: a number above 0 and at most 1 is needed")
    if not (np.isfinite(margin) and margin >= 0.0):
        raise InputError(f"margin = {margin}: a logit from 0 is needed")
    blocks = f"{n} block{'s' if n > 1 else ''} of good cloth"
    if quantile > 1.0 - 1.0 / n:
        reached = n / (n + 1)
        method = (
            f"largest maximum of {blocks} plus {margin:g}: the asked quantile {quantile:g} needs more blocks, "
            f"the largest of {n} stands for {reached:.4g}"
        )
        return ThresholdEvidence(float(values[-1] + margin), method, reached, n, good_cloth_lines)
    value = float(np.quantile(values, quantile, method="inverted_cdf"))
    method = f"quantile {quantile:g} of the maxima of {blocks} plus {margin:g}"
    return ThresholdEvidence(value + margin, method, quantile, n, good_cloth_lines)
