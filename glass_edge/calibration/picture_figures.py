"""The figures of a picture of cloth that a slow change of lens, lamp or yarn moves.

Promises: pure functions; of a roll's pictures the median counts, so a stain or a splice in some of them changes
nothing; a pitch that the pictures do not agree on is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.figures import measure_figures
from glass_edge.calibration.weave_spectrum import LEAST_LINES, measure_weave
from glass_edge.fabric.geometry import ClothSpan

_SAME_PITCH = 0.1  # two harmonics of a weave differ by more, the same cloth by less
_AGREEING = 0.5


@dataclass(frozen=True, slots=True)
class PictureFigures:
    """Figures of a picture, or of a roll's.

    Attributes:
        mean_grey: of the cloth, 0 to 255.
        contrast: standard deviation of the grey over its mean.
        sharpness: median over the zones of the line, see `calibration.figures`.
        saturated_share: share of the cloth's pixels at 250 or above.
        pitch_along_lines: lines a repeat of the weave; None: no rhythm is seen.
        pitch_across_px: pixels a repeat; None: no rhythm is seen.
    """

    mean_grey: float
    contrast: float
    sharpness: float
    saturated_share: float
    pitch_along_lines: float | None
    pitch_across_px: float | None


def measure_picture(lines: NDArray[np.uint8], span: ClothSpan) -> PictureFigures:
    """Figures of lines, uint8 (n, width) grey or (n, width, 3) RGB, with cloth at `span`.

    Cloth of less than 128 lines or pixels has no pitch.

    Raises:
        ValueError: the span does not lie in the lines or no zone of the line shows enough cloth.
    """
    figures = measure_figures(lines, span)
    cloth = lines[:, span.left_px : span.right_px]
    grey = cloth if cloth.ndim == 2 else cloth.mean(axis=2, dtype=np.float32)
    along = across = None
    if min(grey.shape) >= LEAST_LINES:
        weave = measure_weave(cloth)
        along, across = weave.pitch_along_lines, weave.pitch_across_px
    return PictureFigures(
        mean_grey=figures.mean_grey,
        contrast=float(grey.std(dtype=np.float64)) / max(figures.mean_grey, 1.0),
        sharpness=float(np.nanmedian(figures.zone_sharpness)),
        saturated_share=figures.saturated_share,
        pitch_along_lines=along,
        pitch_across_px=across,
    )


def median_picture(pictures: Sequence[PictureFigures]) -> PictureFigures:
    """Medians over one or more pictures of a roll; of saturation the largest."""

    def median(name: str) -> float:
        return float(np.median([getattr(one, name) for one in pictures]))

    return PictureFigures(
        mean_grey=median("mean_grey"),
        contrast=median("contrast"),
        sharpness=median("sharpness"),
        saturated_share=max(one.saturated_share for one in pictures),
        pitch_along_lines=_pitch([one.pitch_along_lines for one in pictures]),
        pitch_across_px=_pitch([one.pitch_across_px for one in pictures]),
    )


def _pitch(pitches: Sequence[float | None]) -> float | None:
    """Their median, where more than half of the pictures have a rhythm of that pitch."""
    seen = np.array([one for one in pitches if one is not None])
    if not len(seen):
        return None
    middle = float(np.median(seen))
    near = seen[np.abs(seen / middle - 1) <= _SAME_PITCH]
    return float(np.median(near)) if len(near) > _AGREEING * len(pitches) else None
