"""Faults painted onto finished cloth: holes and stains on any cloth, yarn faults on photographs.

Promises: `paint` returns what the fault looks like at full strength; it follows the cloth's own shading, and changes
nothing where the fault's cover is zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.loom.cloth import DefectKind, Fault, Patch
from glass_edge.acquisition.loom.noise import Places, clouds, key_of, wave
from glass_edge.acquisition.loom.shapes import cover, spindle

Grid = NDArray[np.float32]
_DARK = 0.07


def _smooth(value: Places) -> Grid:
    value = np.clip(value, 0, 1)
    return np.asarray(value * value * (3 - 2 * value), dtype=np.float32)


def _hole(good: Grid, fault: Fault, patch: Patch) -> Grid:
    """What lies behind, seen through broken yarns: threads of both systems reach in from the edge."""
    inside = cover(fault, patch)
    picks = clouds(key_of(fault.key, "picks"), patch.lines / 1.7, patch.columns / 9.0)
    ends = clouds(key_of(fault.key, "ends"), patch.lines / 9.0, patch.columns / 1.7)
    open_share = _smooth((inside - 0.62 + 0.22 * np.maximum(picks, ends)) / 0.22 + 0.5)
    lint = _smooth(1 - np.abs(inside - 0.5) / 0.4) * (0.10 + 0.10 * picks)
    return np.asarray(good * (1 + lint) * (1 - open_share) + _DARK * open_share, dtype=np.float32)


def _stain(good: Grid, fault: Fault, patch: Patch) -> Grid:
    inside = cover(fault, patch)
    scale = max(4.0, (fault.right - fault.left) / 5)
    depth = 0.45 + 0.10 * clouds(key_of(fault.key, "depth"), patch.lines / scale, patch.columns / scale)
    rim = 0.08 * _smooth(1 - np.abs(inside - 0.75) / 0.25)  # pigment gathers where a drop dries last
    return good * (1 - (depth + rim) * _smooth(inside))


def _yarn_gap(good: Grid, fault: Fault, patch: Patch, *, across: bool) -> Grid:
    """A missing yarn: a dark line that the crossing yarns bridge."""
    rows, columns = patch.lines + 0.5, patch.columns + 0.5
    if across:
        off = (rows - (fault.top + fault.bottom) / 2) / ((fault.bottom - fault.top) / 2)
        bridge = wave(key_of(fault.key, "bridge"), np.array([0]), columns / 1.6)
    else:
        off = (columns - (fault.left + fault.right) / 2) / ((fault.right - fault.left) / 2)
        bridge = wave(key_of(fault.key, "bridge"), np.array([0]), rows / 1.6).T
    depth = np.sqrt(np.clip(1.15 - off * off, 0, 1)).astype(np.float32)
    depth = depth[:, None] if across else depth[None, :]
    return np.asarray(good * (1 - depth * (0.42 + 0.22 * bridge)), dtype=np.float32)


def _yarn_on_top(good: Grid, fault: Fault, patch: Patch, mean_radiance: float) -> Grid:
    """A thick or unbound weft yarn: round, lit from above, its own fibres, a shadow at its lower side."""
    rows, columns = patch.lines + 0.5, patch.columns + 0.5
    half = np.full(columns.shape, (fault.bottom - fault.top) / 2)
    if fault.kind is DefectKind.SLUB:
        half = half * spindle(fault, columns)
    off = ((rows - (fault.top + fault.bottom) / 2)[:, None] / np.maximum(half, 1e-3)[None, :]).astype(np.float32)
    roundness = np.sqrt(np.clip(1 - off * off, 0, None))
    fibres = 1 + 0.10 * wave(key_of(fault.key, "fibre"), patch.lines, columns / 5.0)
    body = mean_radiance * fibres * (0.86 + 0.42 * roundness - 0.22 * off)
    return np.where(roundness > 0, 0.8 * body + 0.2 * good, good)


def paint(good: Grid, fault: Fault, patch: Patch, mean_radiance: float) -> Grid:
    """`good` (radiance of `patch`, float32) with `fault` at full strength, float32.

    `mean_radiance` is that of the whole cloth: a yarn laid on top has its tone.
    """
    match fault.kind:
        case DefectKind.HOLE:
            full = _hole(good, fault, patch)
        case DefectKind.STAIN:
            full = _stain(good, fault, patch)
        case DefectKind.BROKEN_PICK:
            full = _yarn_gap(good, fault, patch, across=True)
        case DefectKind.MISSING_END:
            full = _yarn_gap(good, fault, patch, across=False)
        case DefectKind.SLUB | DefectKind.FLOAT:
            full = _yarn_on_top(good, fault, patch, mean_radiance)
    return np.asarray(np.where(cover(fault, patch) > 0, full, good), dtype=np.float32)
