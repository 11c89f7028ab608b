"""The cloth in the camera's line: selvedges and what lies beside them.

Promises: cloth column 0 is always camera column `left_px`; the selvedge's edge wanders inwards from there by at most
`WANDER_MM` plus a pixel of fringe, never outwards; a pure function of place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.loom.noise import clouds, key_of, uniform, wave
from glass_edge.acquisition.loom.spec import Background, LoomSpec

WANDER_MM = 0.6
_SELVEDGE_MM = 7.0
_LEFT_SHARE, _RIGHT_SHARE = 0.09, 0.05
_EDGE_KEEP_AWAY_MM = 2.0


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the cloth lies.

    Attributes:
        width_px: camera pixels.
        left_px: camera column of the left selvedge.
        cloth_px: width of the cloth.
        selvedge_px: width of the selvedge band at either side, 0 without background.
        keep_away_px: defects stay this far from the selvedge's edge.
        wander_px: how far the edge wanders inwards.
        background: what lies beside the cloth.
        key: stream of random numbers.
    """

    width_px: int
    left_px: int
    cloth_px: int
    selvedge_px: int
    keep_away_px: int
    wander_px: float
    background: Background
    key: int

    @classmethod
    def plan(cls, spec: LoomSpec) -> Frame:
        """Cloth over the whole line, or between background at both sides."""
        key = key_of(spec.seed, "frame")
        if spec.background is Background.NONE:
            return cls(spec.width_px, 0, spec.width_px, 0, 0, 0.0, spec.background, key)
        left, right = round(_LEFT_SHARE * spec.width_px), round(_RIGHT_SHARE * spec.width_px)
        cloth = spec.width_px - left - right
        selvedge = min(round(_SELVEDGE_MM / spec.mm_per_px), cloth // 8)
        wander = min(WANDER_MM / spec.mm_per_px, cloth / 40)
        keep = round(_EDGE_KEEP_AWAY_MM / spec.mm_per_px + wander) + 1
        return cls(spec.width_px, left, cloth, selvedge, min(keep, cloth // 4), wander, spec.background, key)

    def edges(self, first_line: int, n_lines: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Camera column of the left and of the right edge of the cloth, float32 (n_lines,) each."""
        lines = np.arange(first_line, first_line + n_lines)
        slow = 0.5 + 0.5 * wave(key_of(self.key, "wander"), np.array([0, 1]), lines / 310.0)
        fringe = uniform(key_of(self.key, "fringe"), np.array([[0], [1]]), lines[None, :] // 3)
        inward = (self.wander_px * slow + fringe * min(1.0, self.wander_px)).astype(np.float32)
        return self.left_px + inward[0], self.left_px + self.cloth_px - inward[1]

    def compose(self, cloth: NDArray[np.float32], first_line: int) -> NDArray[np.float32]:
        """Radiance of whole camera lines, float32 (n_lines, width_px), from that of the cloth."""
        if self.background is Background.NONE:
            return cloth
        out = self._beside(first_line, cloth.shape[0])
        left, right = self.edges(first_line, cloth.shape[0])
        columns = self.left_px + np.arange(self.cloth_px)
        share = np.clip(columns[None, :] + 1 - left[:, None], 0, 1) * np.clip(right[:, None] - columns[None, :], 0, 1)
        span = np.s_[:, self.left_px : self.left_px + self.cloth_px]
        out[span] += share.astype(np.float32) * (cloth - out[span])
        return out

    def _beside(self, first_line: int, n_lines: int) -> NDArray[np.float32]:
        if self.background is Background.WHITE:
            return np.full((n_lines, self.width_px), 2.5, np.float32)  # back-lit: far beyond full scale
        if self.background is Background.DARK:
            return np.full((n_lines, self.width_px), 0.02, np.float32)
        lines = np.arange(first_line, first_line + n_lines).astype(np.float64)
        columns = np.arange(self.width_px).astype(np.float64)
        table = 0.34 + 0.04 * clouds(key_of(self.key, "table"), lines / 25.0, columns / 130.0)
        table += 0.015 * clouds(key_of(self.key, "scratches"), lines / 2.0, columns / 90.0)
        return np.asarray(table, dtype=np.float32)
