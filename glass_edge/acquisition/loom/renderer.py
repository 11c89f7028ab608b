"""Strips of cloth with known defects, block by block.

Promises: `render(first, n)` depends on the line numbers alone: any division into blocks gives the same bytes; memory is
bounded by the block; every defect is in `truths_between`, and its mask (`cover >= 0.5`) covers what it changed.

Contrast. Let g(p) be the radiance of good cloth at pixel p and f(p) that of the fault at full strength. The strip shows
g (1 + k (f - g) / g), with the factor k chosen so that the mean of |k (f - g) / g| over the mask is the contrast asked
for, at most `_MAX_GAIN` (nature's faults are amplified no further); None means k = 1. The truth states what was reached
after clipping to physical radiance.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.loom.cloth import ClothSource, Fault, Patch
from glass_edge.acquisition.loom.defects import place
from glass_edge.acquisition.loom.frame import Frame
from glass_edge.acquisition.loom.optics import LineCamera
from glass_edge.acquisition.loom.photo import PhotoCloth
from glass_edge.acquisition.loom.shapes import cover
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.acquisition.loom.woven import WovenCloth
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebBox, WebScale

_MAX_GAIN = 4.0
_REACH_PX = 3
_MEASURED_LINES = 2048
_SECTIONS_KEPT = 4
_BRIGHTEST = 1.4


@dataclass(frozen=True, slots=True)
class DefectTruth:
    """A defect that is in the strip.

    Attributes:
        fault: its outline in cloth pixels.
        box_px: bounding box of its mask in camera columns and web lines.
        gain: factor k of the module's text.
        contrast: mean relative change of radiance over the mask that was reached.
    """

    fault: Fault
    box_px: WebBox
    gain: float
    contrast: float


class LoomRenderer:
    """Renders the strip a `LoomSpec` describes."""

    def __init__(self, spec: LoomSpec) -> None:
        """Weave the cloth's first state.

        Raises:
            InputError: the photograph cannot be used, or the defects do not fit.
        """
        self.spec = spec
        self.frame = Frame.plan(spec)
        selvedge_px = self.frame.selvedge_px
        width = self.frame.cloth_px
        self._cloth: ClothSource
        if spec.photo is not None:
            self._cloth = PhotoCloth(spec.photo, width_px=width, seed=spec.seed, selvedge_px=selvedge_px)
        else:
            self._cloth = WovenCloth(
                spec.weave,
                width_px=width,
                end_px=10.0 / spec.ends_per_cm / spec.mm_per_px,
                pick_lines=10.0 / spec.picks_per_cm / spec.mm_per_line,
                seed=spec.seed,
                selvedge_px=selvedge_px,
            )
        self._camera = LineCamera(spec.width_px, spec.seed if spec.camera_seed is None else spec.camera_seed)
        self._truths: OrderedDict[int, tuple[DefectTruth, ...]] = OrderedDict()
        self._section(0)  # an order that does not fit is refused now, not while weaving

    def _section(self, number: int) -> tuple[DefectTruth, ...]:
        if number in self._truths:
            self._truths.move_to_end(number)
            return self._truths[number]
        spec, keep = self.spec, self.frame.keep_away_px
        top = number * spec.section_lines
        area = Patch(top, top + spec.section_lines, keep, self.frame.cloth_px - keep)
        if spec.defects and area.right - area.left < 8:
            raise InputError(
                f"width_px = {spec.width_px} leaves no room for defects beside the selvedges; make it wider"
            )
        faults = place(
            spec.defects, self._cloth, area, scale=WebScale(spec.mm_per_px, spec.mm_per_line), seed=spec.seed
        )
        self._truths[number] = tuple(self._measure(fault) for fault in faults)
        while len(self._truths) > _SECTIONS_KEPT:
            self._truths.popitem(last=False)
        return self._truths[number]

    def _clip(self, patch: Patch) -> Patch | None:
        return patch.overlap(Patch(-(1 << 62), 1 << 62, 0, self.frame.cloth_px))

    def _measure(self, fault: Fault) -> DefectTruth:
        reach = self._clip(fault.reach(_REACH_PX))
        if reach is None:
            raise AssertionError("a fault was placed outside the cloth")
        rows: NDArray[np.int64] = np.zeros(0, np.int64)
        columns: NDArray[np.bool_] = np.zeros(reach.right - reach.left, np.bool_)
        changes: list[NDArray[np.float32]] = []
        goods: list[NDArray[np.float32]] = []
        for top in range(reach.top, reach.bottom, _MEASURED_LINES):
            part = Patch(top, min(top + _MEASURED_LINES, reach.bottom), reach.left, reach.right)
            inside = cover(fault, part) >= 0.5
            rows = np.concatenate([rows, part.lines[inside.any(1)]])
            columns |= inside.any(0)
            if top == reach.top:  # the first lines stand for a defect longer than this
                good, change = self._change(fault, part)
                changes.append(change[inside])
                goods.append(good[inside])
        change_all, good_all = np.concatenate(changes), np.concatenate(goods)
        natural = float(np.abs(change_all).mean()) if change_all.size else 0.0
        gain = 1.0
        if self.spec.contrast is not None and natural > 0:
            gain = min(self.spec.contrast / natural, _MAX_GAIN)
        reached = np.clip(good_all * (1 + gain * change_all), 0.0, _BRIGHTEST) / good_all - 1
        if not rows.size:
            raise InputError(
                f"a {fault.kind} of {(fault.right - fault.left) * self.spec.mm_per_px:.2f} x "
                f"{(fault.bottom - fault.top) * self.spec.mm_per_line:.2f} mm is smaller than a pixel; make it larger"
            )
        seen = np.flatnonzero(columns) + reach.left + self.frame.left_px
        box = WebBox(int(seen[0]), int(seen[-1]) + 1, int(rows[0]), int(rows[-1]) + 1)
        return DefectTruth(fault, box, gain, float(np.abs(reached).mean()))

    def _change(self, fault: Fault, part: Patch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Radiance of good cloth and its relative change at full strength, both float32 (part.shape)."""
        good = self._cloth.render(part)
        gate = np.minimum(2 * cover(fault, part), 1)
        return good, gate * (self._cloth.render(part, fault) / good - 1)

    def truths_between(self, first_line: int, end_line: int) -> list[DefectTruth]:
        """Defects whose box meets lines [first_line, end_line), in line order."""
        last = self.spec.end_line
        end_line = end_line if last is None else min(end_line, last)
        if first_line >= end_line:
            return []
        length = self.spec.section_lines
        found = [
            truth
            for number in range(first_line // length, (end_line - 1) // length + 1)
            for truth in self._section(number)
        ]
        return [t for t in found if t.box_px.first_line < end_line and first_line < t.box_px.end_line]

    def radiance(self, first_line: int, n_lines: int, *, with_defects: bool = True) -> NDArray[np.float32]:
        """Radiance of the cloth alone, float32 (n_lines, cloth width)."""
        whole = Patch(first_line, first_line + n_lines, 0, self.frame.cloth_px)
        seen = self._cloth.render(whole)
        if not with_defects:
            return seen
        for truth in self.truths_between(first_line - _REACH_PX, first_line + n_lines + _REACH_PX):
            part = truth.fault.reach(_REACH_PX).overlap(whole)
            if part is None:
                continue
            good, change = self._change(truth.fault, part)
            place_ = np.s_[part.top - first_line : part.bottom - first_line, part.left : part.right]
            seen[place_] = np.clip(good * (1 + truth.gain * change), 0.0, _BRIGHTEST)
        return seen

    def signal(self, first_line: int, n_lines: int, *, with_defects: bool = True) -> NDArray[np.float32]:
        """Noise-free grey values before rounding, float32 (n_lines, width_px)."""
        cloth = self.radiance(first_line, n_lines, with_defects=with_defects)
        return self._camera.illuminate(self.frame.compose(cloth, first_line), first_line)

    def render(self, first_line: int, n_lines: int) -> NDArray[np.uint8]:
        """Grey values of lines [first_line, first_line + n_lines), uint8 (n_lines, width_px)."""
        return self._camera.expose(self.signal(first_line, n_lines), first_line)

    def mask(self, first_line: int, n_lines: int) -> NDArray[np.uint8]:
        """Ground truth of the same lines: uint8 (n_lines, width_px), 255 where a defect is, else 0."""
        out = np.zeros((n_lines, self.spec.width_px), np.uint8)
        whole = Patch(first_line, first_line + n_lines, 0, self.frame.cloth_px)
        for truth in self.truths_between(first_line, first_line + n_lines):
            part = truth.fault.reach(_REACH_PX).overlap(whole)
            if part is None:
                continue
            left = self.frame.left_px
            place_ = np.s_[part.top - first_line : part.bottom - first_line, left + part.left : left + part.right]
            out[place_] |= np.where(cover(truth.fault, part) >= 0.5, 255, 0).astype(np.uint8)
        return out
