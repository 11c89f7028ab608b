"""Cloth woven yarn by yarn.

Promises: every end and pick is a yarn of its own with slowly varying thickness, place and tone; where two yarns cross,
the weave says which is higher, and the higher surface is seen. Missing yarns, floats and slubs are made in the
structure. A pure function of place (see `cloth`).

The surface: a yarn rises and falls along its length between the crossings (crimp) and is round across its width; of the
two surfaces at a point the upper is shaded by its slope towards the lamp and its depth. Box-filtered from a grid twice
as fine as the camera's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.loom.cloth import DefectKind, Fault, Patch
from glass_edge.acquisition.loom.noise import clouds, key_of, wave
from glass_edge.acquisition.loom.paint import paint
from glass_edge.acquisition.loom.shapes import spindle
from glass_edge.acquisition.loom.weave import Weave, warp_up

_FINE = 2
_CRIMP = 0.45
_ROUND = 0.65
_ABYSS = np.float32(-9.0)
_SEEN_THROUGH = 0.10
Grid = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class YarnLook:
    """Appearance of one yarn system.

    Attributes:
        tone: reflectance of the yarn, 0..1.
        fill: yarn width over yarn spacing, 0.5..1.1.
        unevenness: relative swing of the thickness along a yarn (slow, thick and thin places).
        sway: swing of the yarn's place, in spacings.
        streak: swing of the tone from yarn to yarn.
        hair: swing of the tone along a yarn at fibre length.
    """

    tone: float
    fill: float = 0.92
    unevenness: float = 0.10
    sway: float = 0.06
    streak: float = 0.035
    hair: float = 0.12


@dataclass(frozen=True, slots=True)
class _Yarns:
    """State of one yarn system on a patch's fine grid; arrays (n_lines, n_columns)."""

    offset: Grid  # distance from the yarn's axis in yarn radii
    roundness: Grid  # height of the round cross-section, 0 at the edge, 1 on the axis
    tone: Grid


class WovenCloth:
    """Procedural cloth."""

    def __init__(
        self,
        weave: Weave,
        *,
        width_px: int,
        end_px: float,
        pick_lines: float,
        seed: int,
        selvedge_px: int = 0,
        warp: YarnLook | None = None,
        weft: YarnLook | None = None,
    ) -> None:
        """See the attributes of `cloth.ClothSource`; `selvedge_px` columns at either side are woven as tight plain."""
        self.end_px = end_px
        self.pick_lines = pick_lines
        self._width_px = width_px
        self._selvedge_px = selvedge_px
        self._warp = warp or YarnLook(tone=0.56)
        self._weft = weft or YarnLook(tone=0.60, streak=0.045)
        self._key = key_of(seed, "woven")
        self._repeat = np.where(warp_up(weave), 1.0, -1.0).astype(np.float32)
        self._selvedge = np.where(warp_up(Weave.PLAIN), 1.0, -1.0).astype(np.float32)

    def snap(self, fault: Fault) -> Fault:
        """Line faults on whole yarns: a broken pick and a float take whole picks, a missing end whole ends."""
        if fault.kind in (DefectKind.BROKEN_PICK, DefectKind.FLOAT):
            count = max(1, round((fault.bottom - fault.top) / self.pick_lines))
            first = round(fault.top / self.pick_lines)
            return replace(fault, top=first * self.pick_lines, bottom=(first + count) * self.pick_lines)
        if fault.kind is DefectKind.MISSING_END:
            count = max(1, round((fault.right - fault.left) / self.end_px))
            first = round(fault.left / self.end_px)
            return replace(fault, left=first * self.end_px, right=(first + count) * self.end_px)
        return fault

    def render(self, patch: Patch, fault: Fault | None = None) -> NDArray[np.float32]:
        """Radiance of `patch`, float32."""
        y = patch.top + (np.arange(patch.shape[0] * _FINE) + 0.5) / _FINE
        x = patch.left + (np.arange(patch.shape[1] * _FINE) + 0.5) / _FINE
        fine = self._shade(y, x, fault)
        fine *= 1.0 + 0.02 * clouds(key_of(self._key, "cloud"), y / 90.0, x / 140.0)
        coarse = fine.reshape(patch.shape[0], _FINE, patch.shape[1], _FINE).mean((1, 3), dtype=np.float32)
        if fault is not None and fault.kind in (DefectKind.HOLE, DefectKind.STAIN):
            return paint(coarse, fault, patch, self._weft.tone)
        return np.asarray(coarse, dtype=np.float32)

    def _up(self, picks: NDArray[np.int64], ends: NDArray[np.int64], fault: Fault | None) -> Grid:
        """+1 where the end is on top, -1 where the pick is; float32 (len(picks), len(ends))."""
        up = self._repeat[picks[:, None] % self._repeat.shape[0], ends[None, :] % self._repeat.shape[1]]
        if self._selvedge_px:
            first, last = self._selvedge_px / self.end_px, (self._width_px - self._selvedge_px) / self.end_px
            band = (ends < first) | (ends >= last)
            up[:, band] = self._selvedge[picks[:, None] % 2, ends[None, band] % 2]
        if fault is not None and fault.kind is DefectKind.FLOAT:
            floating = (picks >= round(fault.top / self.pick_lines)) & (picks < round(fault.bottom / self.pick_lines))
            crossed = ((ends + 1) * self.end_px > fault.left) & (ends * self.end_px < fault.right)
            up[np.ix_(floating, crossed)] = -1.0
        return np.asarray(up, dtype=np.float32)

    def _yarns(
        self, name: str, look: YarnLook, index: NDArray[np.int64], away: NDArray[np.float64], along: NDArray[np.float64]
    ) -> _Yarns:
        """Yarns of one system: `index` and `away` (from the cell's middle, in spacings) a place across the yarns."""
        numbers, pick = np.unique(index, return_inverse=True)
        key = key_of(self._key, name)
        swing = wave(key_of(key, "thick"), numbers, along / 37.0) + 0.6 * wave(
            key_of(key, "thin"), numbers, along / 9.0
        )
        radius = (0.5 * look.fill * (1.0 + look.unevenness * swing))[pick]
        axis = wave(key_of(key, "sway"), numbers, along / 61.0) + wave(key_of(key, "place"), numbers, along / 4000.0)
        offset = (away.astype(np.float32)[:, None] - (look.sway * axis)[pick]) / radius
        tone: Grid = 1.0 + look.streak * wave(key_of(key, "streak"), numbers, along / 900.0)
        tone = tone + look.hair * wave(key_of(key, "hair"), numbers, along / 1.7)
        roundness: Grid = np.sqrt(np.clip(1.0 - offset * offset, 0, None)).astype(np.float32)
        return _Yarns(offset.astype(np.float32), roundness, (look.tone * tone)[pick])

    def _rise_weft(
        self, pick: NDArray[np.int64], end: NDArray[np.int64], away_end: NDArray[np.float64], fault: Fault | None
    ) -> Grid:
        """Height of the picks along their length, -1 under an end to 1 over it; float32 (len(pick), len(end))."""
        here = self._up(pick, end, fault)
        beside = self._up(pick, end + np.where(away_end < 0, -1, 1), fault)
        return -(here + (beside - here) * (0.5 * (1 - np.cos(np.pi * away_end))).astype(np.float32)[None, :])

    def _shade(self, y: NDArray[np.float64], x: NDArray[np.float64], fault: Fault | None) -> Grid:
        pick = np.floor(y / self.pick_lines).astype(np.int64)
        end = np.floor(x / self.end_px).astype(np.int64)
        away_pick = y / self.pick_lines - pick - 0.5
        away_end = x / self.end_px - end - 0.5
        weft = self._yarns("weft", self._weft, pick, away_pick, x)
        across = self._yarns("warp", self._warp, end, away_end, y)
        warp = _Yarns(across.offset.T, across.roundness.T, across.tone.T)

        here = self._up(pick, end, fault)
        blend_pick = (0.5 * (1 - np.cos(np.pi * away_pick))).astype(np.float32)[:, None]
        next_pick = self._up(pick + np.where(away_pick < 0, -1, 1), end, fault)
        rise_warp = here + (next_pick - here) * blend_pick
        slope_warp = (next_pick - here) * (0.5 * np.pi * np.sin(np.pi * away_pick)).astype(np.float32)[:, None]
        rise_weft = self._rise_weft(pick, end, away_end, fault)

        height_warp = np.where(warp.roundness > 0, _CRIMP * rise_warp + _ROUND * warp.roundness, _ABYSS)
        height_weft = np.where(weft.roundness > 0, _CRIMP * rise_weft + _ROUND * weft.roundness, _ABYSS)
        if fault is not None and fault.kind is DefectKind.BROKEN_PICK:
            gone = ((y >= fault.top) & (y < fault.bottom))[:, None] & ((x >= fault.left) & (x < fault.right))[None, :]
            height_weft[gone] = _ABYSS
        if fault is not None and fault.kind is DefectKind.MISSING_END:
            gone = ((y >= fault.top) & (y < fault.bottom))[:, None] & ((x >= fault.left) & (x < fault.right))[None, :]
            height_warp[gone] = _ABYSS

        lamp_warp = warp.tone * (0.62 + 0.30 * warp.roundness + 0.18 * rise_warp - 0.07 * slope_warp)
        lamp_weft = weft.tone * (0.62 + 0.30 * weft.roundness + 0.18 * rise_weft - 0.16 * weft.offset)
        seen = np.where(height_warp >= height_weft, lamp_warp, lamp_weft)
        highest = np.maximum(height_warp, height_weft)
        seen = np.where(highest > _ABYSS / 2, seen, np.float32(_SEEN_THROUGH))
        if fault is not None and fault.kind is DefectKind.SLUB:
            seen = self._lay_slub(seen, highest, y, x, fault)
        return np.asarray(np.clip(seen, 0.02, 1.3), dtype=np.float32)

    def _lay_slub(
        self, seen: Grid, highest: Grid, y: NDArray[np.float64], x: NDArray[np.float64], fault: Fault
    ) -> Grid:
        """A thick stretch of weft: stands above its neighbours, still bound by the ends that cross it."""
        middle, half = (fault.top + fault.bottom) / 2, (fault.bottom - fault.top) / 2
        thickness = np.maximum(half * spindle(fault, x), 1e-3)
        offset = ((y - middle)[:, None] / thickness[None, :]).astype(np.float32)
        roundness = np.sqrt(np.clip(1.0 - offset * offset, 0, None))
        end = np.floor(x / self.end_px).astype(np.int64)
        rise = self._rise_weft(np.array([int(middle // self.pick_lines)]), end, x / self.end_px - end - 0.5, fault)
        height = _CRIMP * rise + 0.35 + 1.3 * _ROUND * roundness
        fibres = 1.0 + 0.10 * wave(key_of(fault.key, "fibre"), np.round(y).astype(np.int64), x / 5.0)
        lamp = self._weft.tone * fibres * (0.78 + 0.38 * roundness - 0.20 * offset)
        return np.where((roundness > 0) & (height > highest), lamp, seen)
