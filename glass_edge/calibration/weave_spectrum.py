"""The yarns' rhythm: how many pixels and lines a repeat of the weave takes.

Promises: pure functions of the lines; nothing is claimed where there is no rhythm (`None`). Pitches are those of the
strongest rhythm, which need not be a single yarn: what counts is that the same cloth gives the same.

How: windows of 256 px (128 where there are fewer lines), each relative to its mean, give a power spectrum each; the
median over the windows ignores defects. What stands out of the median of its ring of frequencies by a factor of three
is a peak of the weave; low frequencies (shading) are left out. Sums over one direction give the rhythm along the other;
one whose strength lies nowhere in particular, or falls from the lowest frequency on, is none.
Two such rhythms are compared on a logarithmic axis of frequency, where another scale is a shift: the shift at which
they agree best is the ratio of the scales.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

WINDOW_PX = 256
LEAST_LINES = 128
_MOST_WINDOWS = 96
_LOWEST = 5.0  # periods a window of 256 px
_OUT_OF_RING = 3.0
_LEAST_SHARE = 0.1  # of the strength lies at the strongest rhythm; 0.16 to 0.95 in woven cloth, 0.06 in rough linen
_STEP = 0.005  # of ln(frequency)
_MOST_RATIO = 5.0
_BLUR = 0.02
_PEAKS = 12
_LEAST_AGREEMENT = 0.2
Spectrum = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Weave:
    """Rhythm of a cloth; frequencies in periods a window of `WINDOW_PX`.

    Attributes:
        along: strength by frequency along the web, float64 (WINDOW_PX // 2 + 1,).
        across: the same across.
        peaks: strongest peaks, float64 (n, 3): frequency across (signed), along (0 or more), share of the strength.
    """

    along: Spectrum
    across: Spectrum
    peaks: Spectrum

    @property
    def pitch_along_lines(self) -> float | None:
        """Lines a repeat, None when no rhythm is seen along the web."""
        return _pitch(self.along)

    @property
    def pitch_across_px(self) -> float | None:
        """Pixels a repeat, None when no rhythm is seen across it."""
        return _pitch(self.across)


def measure_weave(lines: NDArray[np.uint8]) -> Weave:
    """Rhythm of cloth, uint8 (128 or more lines, 128 or more px) grey or (..., 3) RGB, cloth only.

    Raises:
        ValueError: there is less of it.
    """
    grey = (lines if lines.ndim == 2 else lines.mean(axis=2)).astype(np.float32)
    size = WINDOW_PX if min(grey.shape) >= WINDOW_PX else LEAST_LINES
    if min(grey.shape) < size:
        raise ValueError(f"{lines.shape[0]} lines of {lines.shape[1]} px; {LEAST_LINES} of each are needed")
    tops = np.arange(0, grey.shape[0] - size + 1, size // 2)
    lefts = np.arange(0, grey.shape[1] - size + 1, size // 2)
    places = [(int(top), int(left)) for top in tops for left in lefts]
    places = [
        places[k] for k in np.unique(np.linspace(0, len(places) - 1, min(len(places), _MOST_WINDOWS)).astype(int))
    ]
    hann = np.outer(np.hanning(size), np.hanning(size)).astype(np.float32)
    powers = []
    for top, left in places:
        part = grey[top : top + size, left : left + size]
        powers.append(np.abs(np.fft.rfft2((part / max(float(part.mean()), 1.0) - 1) * hann, s=(WINDOW_PX,) * 2)) ** 2)
    # rows: frequency across (signed), columns: frequency along, by transforming the transposed picture
    amplitude = np.sqrt(np.median(np.stack([_along_last(p) for p in powers]), axis=0))
    return _weave_of(amplitude)


def _along_last(power: NDArray[np.floating]) -> NDArray[np.float64]:
    """(signed along, across >= 0) from rfft2 to (signed across, along >= 0)."""
    half = WINDOW_PX // 2
    full = np.empty((WINDOW_PX, WINDOW_PX))
    full[:, : half + 1] = power
    mirrored = np.roll(power[::-1], 1, axis=0)
    full[:, half + 1 :] = mirrored[:, half - 1 : 0 : -1]
    return np.roll(full.T, half, axis=0)[:, : half + 1]


def _weave_of(amplitude: NDArray[np.float64]) -> Weave:
    half = WINDOW_PX // 2
    across, along = np.meshgrid(np.arange(-half, half), np.arange(half + 1), indexing="ij")
    radius = np.rint(np.hypot(across, along)).astype(np.int64)
    inside = (radius >= _LOWEST) & (radius <= half)
    counts = np.bincount(radius[inside], minlength=half + 2)
    ring = np.bincount(radius[inside], amplitude[inside], minlength=half + 2) / np.maximum(counts, 1)
    # a peak must not raise the ring it is compared with: the median of the ring's neighbours counts
    smooth = cv2.blur(np.minimum(ring, _ring_median(amplitude, radius, inside))[None], (5, 1))[0]
    above = np.where(inside, np.maximum(amplitude - _OUT_OF_RING * smooth[np.minimum(radius, half + 1)], 0), 0)
    along_sum = np.where(along >= _LOWEST, above, 0).sum(axis=0)
    by_across = np.where(np.abs(across) >= _LOWEST, above, 0).sum(axis=1)
    across_sum = np.zeros(half + 1)
    np.add.at(across_sum, np.abs(np.arange(-half, half)), by_across)
    return Weave(_if_rhythm(along_sum), _if_rhythm(across_sum), _peaks(above, across, along))


def _if_rhythm(strength: Spectrum) -> Spectrum:
    """`strength`, or zeros where nothing repeats: it is spread out, or highest where it begins, as of slubs."""
    best = int(np.argmax(strength))
    near = float(strength[max(0, best - 2) : best + 3].sum())
    if best < _LOWEST + 2 or near < _LEAST_SHARE * float(strength.sum()):
        return np.zeros_like(strength)
    return strength


def _ring_median(amplitude: Spectrum, radius: NDArray[np.int64], inside: NDArray[np.bool_]) -> Spectrum:
    order = np.argsort(radius[inside], kind="stable")
    values, rings = amplitude[inside][order], radius[inside][order]
    starts = np.searchsorted(rings, np.arange(WINDOW_PX // 2 + 3))
    medians = [float(np.median(values[start:end])) if end > start else 0.0 for start, end in pairwise(starts)]
    return np.array(medians)


def _peaks(above: Spectrum, across: NDArray[np.int64], along: NDArray[np.int64]) -> Spectrum:
    top = cv2.dilate(above, np.ones((7, 7)))
    rows, columns = np.nonzero((above > 0) & (above >= top))
    order = np.argsort(-above[rows, columns], kind="stable")[:_PEAKS]
    rows, columns = rows[order], columns[order]
    strength = above[rows, columns]
    return np.column_stack([across[rows, columns], along[rows, columns], strength / max(float(strength.sum()), 1e-12)])


def _pitch(rhythm: Spectrum) -> float | None:
    best = int(np.argmax(rhythm))
    if rhythm[best] <= 0:
        return None
    if not 0 < best < len(rhythm) - 1:
        return WINDOW_PX / best
    # the centre of gravity of the peak: windowed lines spread over three bins
    near = slice(max(1, best - 2), best + 3)
    return float(WINDOW_PX * rhythm[near].sum() / (np.arange(len(rhythm))[near] * rhythm[near]).sum())


def scale_ratio(seen: Spectrum, known: Spectrum) -> float | None:
    """How much longer the pitch is in `seen` than in `known`, as a factor; None when they cannot be compared.

    Args:
        seen: `Weave.along` or `Weave.across` of the cloth seen.
        known: the same of the cloth when its style was calibrated.
    """
    if seen.max() <= 0 or known.max() <= 0:
        return None
    reach = np.log(_MOST_RATIO)
    axis = np.arange(np.log(_LOWEST) - reach, np.log(WINDOW_PX / 2) + reach, _STEP)
    spread = round(reach / _STEP)
    one, other = (_on_log_axis(rhythm, axis) for rhythm in (seen, known))
    shifts = np.arange(-spread, spread + 1)
    agreement = np.array([float(np.dot(np.roll(one, int(shift)), other)) for shift in shifts])
    best = int(np.argmax(agreement))
    if agreement[best] < _LEAST_AGREEMENT:
        return None
    middle = float(shifts[best])
    if 0 < best < len(shifts) - 1:
        before, here, after = agreement[best - 1 : best + 2]
        middle += 0.5 * (before - after) / min(before - 2 * here + after, -1e-12)
    return float(np.exp(middle * _STEP))


def _on_log_axis(rhythm: Spectrum, axis: Spectrum) -> Spectrum:
    frequency = np.exp(axis)
    values = np.interp(frequency, np.arange(len(rhythm)), rhythm, left=0.0, right=0.0)
    values[frequency < _LOWEST] = 0
    blurred = cv2.GaussianBlur(values[None], (0, 0), _BLUR / _STEP)[0]
    return np.asarray(blurred / np.linalg.norm(blurred))


def likeness(seen: Weave, known: Weave, *, ratio_across: float = 1.0, ratio_along: float = 1.0) -> float | None:
    """Share of the known oblique peaks that are seen where they should be, 0 to 1; None when none is known.

    Oblique peaks are those that both yarn systems make together. A twill that runs the other way, or another weave, is
    unlike at any scale; rhythms of one system alone would not tell.
    """
    wanted, there = _oblique(known.peaks), _oblique(seen.peaks)
    if not len(wanted):
        return None
    found = 0.0
    for across, along, share in wanted:
        at = np.array([across / ratio_across, along / ratio_along])
        near = (np.abs(there[:, :2] - at) <= 2 + 0.06 * np.abs(at)).all(axis=1)
        found += min(float(share), float(there[near, 2].sum()))
    return found


def _oblique(peaks: Spectrum) -> Spectrum:
    """Peaks off both axes, with their shares of each other's strength."""
    kept = peaks[(np.abs(peaks[:, 0]) >= _LOWEST) & (peaks[:, 1] >= _LOWEST)]
    return np.column_stack([kept[:, :2], kept[:, 2] / max(float(kept[:, 2].sum()), 1e-12)])
