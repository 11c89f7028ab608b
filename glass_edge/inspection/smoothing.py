"""Gaussian smoothing of scores on an endless strip.

Promises: equals `scipy.ndimage.gaussian_filter(strip, sigma, mode="reflect", truncate=4)` of the whole segment up to
float rounding, whatever the pieces it came in; a row is held back for `radius` rows and no longer; memory is bounded by
the longest piece plus four radii. Sigma 0 is the identity and holds nothing back.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError
from glass_edge.inspection.borders import symmetric

TRUNCATE_SIGMAS = 4.0
_ONE = np.ones(1, np.float32)


def gaussian_kernel(sigma_cells: float) -> NDArray[np.float32]:
    """Normalised Gaussian weights float32 (2 radius + 1,), cut at 4 sigma; one weight of 1 for sigma 0.

    Raises:
        InputError: sigma is negative or not finite.
    """
    if not (np.isfinite(sigma_cells) and sigma_cells >= 0):
        raise InputError(f"smoothing sigma {sigma_cells} cells: a number from 0 is needed")
    radius = int(TRUNCATE_SIGMAS * sigma_cells + 0.5)
    if radius == 0:
        return np.ones(1, np.float32)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_cells) ** 2)
    return np.asarray(weights / weights.sum(), np.float32)


class StripSmoother:
    """Smooths the rows of one segment; `flush` ends the segment and makes ready for the next.

    Args:
        sigma_cells: standard deviation in score cells, both ways; may be below 1.
    """

    def __init__(self, sigma_cells: float) -> None:
        self._kernel = gaussian_kernel(sigma_cells)
        self._radius = len(self._kernel) // 2
        self._held: NDArray[np.float32] | None = None  # rows smoothed across the web, from row `_held_from` on
        self._held_from = 0
        self._emitted = 0

    @property
    def radius_rows(self) -> int:
        """Rows by which the output lags behind the input."""
        return self._radius

    def push(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take logits float32 (n, cells) that follow the ones before.

        Returns:
            float32 (m, cells): the rows that are final now, following the ones returned before; m may be 0.
        """
        across = self._across(rows)
        self._held = across if self._held is None else np.concatenate([self._held, across])
        known = self._held_from + len(self._held)
        return self._along(max(self._emitted, known - self._radius), known)

    def flush(self) -> NDArray[np.float32]:
        """End of the segment: the rows still held back, float32 (m, cells); (0, 0) when nothing was pushed."""
        if self._held is None:
            return np.empty((0, 0), np.float32)
        known = self._held_from + len(self._held)
        rows = self._along(known, known)
        self._held, self._held_from, self._emitted = None, 0, 0
        return rows

    def _across(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        n, cells = rows.shape
        if self._radius == 0 or n == 0:
            return np.array(rows, np.float32)
        columns = symmetric(np.arange(-self._radius, cells + self._radius), cells)
        padded = np.ascontiguousarray(rows[:, columns], np.float32)
        smooth = cv2.sepFilter2D(padded, cv2.CV_32F, self._kernel, _ONE, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(smooth[:, self._radius : self._radius + cells], np.float32)

    def _along(self, end_row: int, known: int) -> NDArray[np.float32]:
        """Rows [emitted, end_row); `known` is the segment's length as far as known, true when it has ended."""
        assert self._held is not None
        first, radius = self._emitted, self._radius
        n = end_row - first
        if n <= 0:
            return np.empty((0, self._held.shape[1]), np.float32)
        if radius == 0:
            rows = self._held[first - self._held_from : end_row - self._held_from]
        else:
            source = symmetric(np.arange(first - radius, end_row + radius), known) - self._held_from
            smooth = cv2.sepFilter2D(self._held[source], cv2.CV_32F, _ONE, self._kernel, borderType=cv2.BORDER_CONSTANT)
            rows = np.asarray(smooth[radius : radius + n], np.float32)
        self._emitted = end_row
        keep_from = max(self._held_from, end_row - radius)
        self._held = self._held[keep_from - self._held_from :].copy()
        self._held_from = keep_from
        return np.ascontiguousarray(rows)
