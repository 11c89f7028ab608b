"""Outlines of defects.

Promises: `cover(fault, patch)` is 1 inside a defect, 0 away from it, 0.5 on its outline; the outline at 0.5 spans the
fault's box to within a pixel, ragged kinds included, so size is exactly what was asked for. The ground-truth mask is
`cover >= 0.5`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.loom.cloth import DefectKind, Fault, Patch
from glass_edge.acquisition.loom.noise import Places, key_of, uniform

_OUTLINE_ANGLES = 720
_HARMONICS = {DefectKind.HOLE: (0.06, 9), DefectKind.STAIN: (0.14, 6)}
_SOFT_SHARE = {DefectKind.HOLE: 0.55, DefectKind.STAIN: 0.30}


def _outline(fault: Fault) -> NDArray[np.float64]:
    """Radius at `_OUTLINE_ANGLES` angles of a smooth random closed curve about the centre of its bounding box."""
    amplitude, count = _HARMONICS[fault.kind]
    angles = np.linspace(0, 2 * np.pi, _OUTLINE_ANGLES, endpoint=False)
    order = np.arange(2, 2 + count)
    phase = 2 * np.pi * uniform(key_of(fault.key, "phase"), order)
    size = amplitude * (0.4 + uniform(key_of(fault.key, "size"), order)) / np.sqrt(order - 1)
    return np.asarray(1.0 + (size[:, None] * np.cos(order[:, None] * angles + phase[:, None])).sum(0), dtype=np.float64)


def _ragged(fault: Fault, rows: Places, columns: Places) -> NDArray[np.float32]:
    radius = _outline(fault)
    angles = np.linspace(0, 2 * np.pi, _OUTLINE_ANGLES, endpoint=False)
    across, along = radius * np.cos(angles), radius * np.sin(angles)
    # Stretch the curve's bounding box onto the fault's box, so that width and length are those asked for.
    half_across, half_along = np.ptp(across) / 2, np.ptp(along) / 2
    mid_across, mid_along = (across.max() + across.min()) / 2, (along.max() + along.min()) / 2
    x = (columns - (fault.left + fault.right) / 2) / ((fault.right - fault.left) / 2) * half_across + mid_across
    y = (rows - (fault.top + fault.bottom) / 2) / ((fault.bottom - fault.top) / 2) * half_along + mid_along
    x, y = np.broadcast_arrays(x[None, :], y[:, None])
    turn = np.arctan2(y, x) % (2 * np.pi)
    edge = np.interp(turn, np.append(angles, 2 * np.pi), np.append(radius, radius[0]))
    inside = 1.0 - np.hypot(x, y) / edge  # 0 on the outline, 1 in the centre
    return np.asarray(np.clip(0.5 + inside / _SOFT_SHARE[fault.kind], 0, 1), dtype=np.float32)


def _soft_box(
    fault: Fault, rows: Places, columns: Places, half_height: NDArray[np.float64] | None
) -> NDArray[np.float32]:
    """Box with edges one pixel soft; `half_height` (one a column) narrows it along the web to a spindle."""
    middle = (fault.top + fault.bottom) / 2
    half = (fault.bottom - fault.top) / 2
    height = np.full(columns.shape, half) if half_height is None else half * half_height
    along = np.clip(height[None, :] - np.abs(rows - middle)[:, None] + 0.5, 0, 1)
    across = np.clip(np.minimum(columns - fault.left, fault.right - columns) + 0.5, 0, 1)
    return np.asarray(along * across[None, :], dtype=np.float32)


def spindle(fault: Fault, columns: Places) -> NDArray[np.float64]:
    """Thickness of a slub along the yarn, 0 at its tips and 1 in the thickest part, uneven like a real one."""
    t = np.clip((columns - fault.left) / (fault.right - fault.left), 0, 1)
    skew = 0.6 + 0.8 * float(uniform(key_of(fault.key, "skew"), 0)[0])
    return np.asarray(np.sin(np.pi * t**skew) ** 0.6, dtype=np.float64)


def cover(fault: Fault, patch: Patch) -> NDArray[np.float32]:
    """Cover of `fault` at the pixel centres of `patch`, float32 (patch.shape), 0..1."""
    rows, columns = patch.lines + 0.5, patch.columns + 0.5
    if fault.kind in _HARMONICS:
        return _ragged(fault, rows, columns)
    return _soft_box(fault, rows, columns, spindle(fault, columns) if fault.kind is DefectKind.SLUB else None)
