"""Scores of whole images in the published form.

Promises: the map a figure in the literature would show: sigmoid scores, resized, smoothed; and the image score of the
published evaluation. (The line inspects with smoothed logits on a continuous strip instead.)

Source: section "inference" of the authors' program; the Gaussian is cut at 4 sigma, edges repeat their pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from glass_edge.glass.features import resize_map


def score_map(logits: Tensor, size_px: tuple[int, int], sigma_px: float = 4.0) -> NDArray[np.float32]:
    """Smoothed maps of sigmoid scores.

    Args:
        logits: (n, h, w) on the grid.
        size_px: (height, width) of the images.
        sigma_px: of the Gaussian; 0 leaves the resized scores as they are.

    Returns:
        float32 (n, height, width) in [0, 1].
    """
    resized = resize_map(logits.detach().sigmoid()[:, None], *size_px)[:, 0].cpu().numpy()
    if sigma_px == 0:
        return np.ascontiguousarray(resized, np.float32)
    maps = [gaussian_filter(one, sigma_px, mode="reflect", truncate=4.0) for one in resized]
    return np.stack(maps).astype(np.float32)


def image_scores(logits: Tensor) -> NDArray[np.float32]:
    """Largest unsmoothed sigmoid score of each grid (n, h, w): float32 (n,)."""
    return np.asarray(logits.detach().sigmoid().amax(dim=(1, 2)).cpu().numpy(), np.float32)
