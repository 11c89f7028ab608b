"""Which epoch becomes the model, without labels.

Promises: test images have no part in it; the measure is a pure function of the head, the held-out good strips and the
recipe, so a continued run chooses as an uninterrupted one; of two epochs that measure the same the later one is taken.

The measure is the chance that a synthetic defect (see `selection_defects`) scores above a block of good cloth: the area
under the ROC curve of defects against blocks of 64 px, each by its largest score, smoothed as on the line (Hanley,
McNeil, Radiology 1982). It was preferred to

- the share of defects above the highest scores of good cloth, which is nearer to what the line asks and is logged
  beside it (`recall`: above all blocks; `partial`: averaged over the worst twentieth of them). Training soon finds the
  defects that are like its own, and that share rises by them, while weak ones of other kinds sink into the cloth; a
  line loses more by the second than it gains by the first. It also rests on few blocks, and so jumps between epochs;
- AUROC or average precision of cells: large blobs have most cells and hide whether specks are found.

A defect is a connected group of marked cells and counts by its largest score; all defects of a tile together have the
weight of one, or the many crumbs of a fine Perlin mask would outvote all others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from glass_edge.glass.data import ClothStrip
from glass_edge.glass.model import StyleModel
from glass_edge.glass.selection_tiles import held_out_tiles
from glass_edge.glass.trainer_features import Maps, gather_points, inner_grid, map_chunks

BLOCK_PX = 64
WORST_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class SelectionScores:
    """What held-out cloth says of an epoch, each 0 to 1, higher is better.

    Attributes:
        measure: what chooses; chance that a synthetic defect scores above a good block, ties counting half.
        recall: share of synthetic defects above all good blocks.
        partial: that share above a good block, averaged over the worst twentieth of the blocks.
    """

    measure: float
    recall: float
    partial: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """An epoch that may become the model.

    Attributes:
        epoch: from 1; 0: the model before training, which a Gaussian prior makes a model of its own.
        measure: see `SelectionScores`.
        head: state of the head, tensors on the CPU.
        figures: what was logged of the epoch, by name.
    """

    epoch: int
    measure: float
    head: dict[str, Tensor]
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Selection:
    """The choice so far.

    Attributes:
        best: the epoch chosen.
        mark_epoch: the last epoch that was better than the mark before it by more than the margin, from 1.
        mark: its measure. (Epoch 0 sets none: training may well begin with a loss, and must not end for that.)
    """

    best: Candidate
    mark_epoch: int
    mark: float


def choose(before: Selection | None, now: Candidate, margin: float) -> Selection:
    """The choice after the epoch `now`: it, or the one before where that measured more."""
    if before is None:
        return Selection(now, now.epoch, now.measure if now.epoch else -math.inf)
    best = now if now.measure >= before.best.measure else before.best
    if now.measure > before.mark + margin:
        return Selection(best, now.epoch, now.measure)
    return Selection(best, before.mark_epoch, before.mark)


class Selector:
    """Measures the head of a model on held-out cloth; the maps of the frozen backbone are computed once and kept."""

    def __init__(self, model: StyleModel, strips: Sequence[ClothStrip]) -> None:
        """Draw the tiles and compute their maps.

        Args:
            model: whose backbone and, at each measurement, head are used.
            strips: good cloth that is neither trained on nor gives the threshold.

        Raises:
            InputError: no strip, or one that holds no tile.
        """
        tiles = held_out_tiles(model.recipe, strips)
        self._model = model
        self._masks = tiles.masks
        self._good, self._synthetic = (
            [[level.cpu() for level in maps] for maps in map_chunks(model, torch.from_numpy(pixels))]
            for pixels in (tiles.good, tiles.synthetic)
        )

    @torch.no_grad()
    def measure(self) -> SelectionScores:
        """Scores of the model as it is now."""
        block = max(1, BLOCK_PX // self._model.score_stride_px)
        good = np.concatenate([block_maxima(one, block) for one in self._smoothed(self._good)])
        peaks, weights = defect_peaks(self._smoothed(self._synthetic), self._masks)
        return compare(good, peaks, weights)

    def _smoothed(self, chunks: Sequence[Maps]) -> NDArray[np.float32]:
        """Smoothed logits inside the halo, float32 (n, rows, columns)."""
        model = self._model
        device = model.normalise.mean.device
        sigma = model.recipe.inspection.smoothing_sigma_px / model.score_stride_px
        found = []
        for maps in chunks:
            count = len(maps[0])
            points = gather_points(model, [[level.to(device) for level in maps]], count)
            logits = model.head(points).view(count, *inner_grid(model)).cpu().numpy()
            found.append(gaussian_filter(logits, (0, sigma, sigma), mode="reflect", truncate=4.0))
        return np.concatenate(found)


def block_maxima(scores: NDArray[np.float32], cells: int) -> NDArray[np.float32]:
    """Largest score of each block of about `cells` x `cells` of a map (rows, columns), flat; every cell counts once."""
    starts = [np.arange(n) * length // n for length in scores.shape for n in [max(1, length // cells)]]
    maxima = np.maximum.reduceat(np.maximum.reduceat(scores, starts[0], axis=0), starts[1], axis=1)
    return np.asarray(maxima, np.float32).ravel()


def defect_peaks(
    scores: NDArray[np.float32], masks: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Largest score of each defect, and its weight.

    Args:
        scores: (n, rows, columns).
        masks: of the same shape, each with a marked cell at least.

    Returns:
        (defects,) of all maps, and weights (defects,) that sum to 1: the same for every map, shared by its defects.
    """
    peaks, weights = [], []
    for one, mask in zip(scores, masks, strict=True):
        count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        found = np.full(count, -np.inf, np.float32)
        np.maximum.at(found, parts[mask], one[mask])
        peaks.append(found[1:])
        weights.append(np.full(count - 1, 1 / ((count - 1) * len(masks))))
    return np.concatenate(peaks), np.concatenate(weights)


def compare(good: NDArray[np.float32], peaks: NDArray[np.float32], weights: NDArray[np.float64]) -> SelectionScores:
    """The scores of an epoch.

    Args:
        good: largest scores of good blocks, (blocks,), finite.
        peaks: largest scores of defects, (defects,), finite.
        weights: of the defects, (defects,), sum 1.
    """
    order = np.argsort(peaks, kind="stable")
    ordered = peaks[order]
    above = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)  # weight of the defects from this one on
    worst_first = np.sort(good)[::-1]
    strictly = above[np.searchsorted(ordered, worst_first, side="right")]
    at_least = above[np.searchsorted(ordered, worst_first, side="left")]
    worst = -(-len(good) * WORST_SHARE // 1)
    return SelectionScores(
        measure=float((strictly + at_least).mean() / 2),
        recall=float(strictly[0]),
        partial=float(strictly[: int(worst)].mean()),
    )
