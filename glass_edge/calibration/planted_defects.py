"""Defects planted into pictures of good cloth.

Promises: the cloth's own yarns, shading and noise stay as they are around the defect; nothing changes outside of the
outline and a rim of `RIM_PX`; a defect depends on its order, its place and its key alone.

Contrast is the mean grey inside the outline over that of the good cloth at the same place, less 1: -0.2 is a fifth
darker. It is met exactly, but for rounding and for grey values that end at 0 and 255 (`Planted.contrast` says what was
reached). `parted_ends` moves the cloth's own yarns and has the contrast that this gives.

The kinds: `missing_end` and `broken_pick`, a line one yarn wide along the warp or the weft, bridged by the crossing
yarns; `slub` and `float`, a thick or an unbound stretch of weft that hides the warp; `hole`, what lies behind, in one
tone; `stain`, the cloth in another tone, soft at its edge; `parted_ends`, warp yarns pushed aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.planted_defects_shapes import Cover, FloatBox, ragged_cover, soft_box, spindle_cover
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebBox, WebScale

RIM_PX = 4
LEAST_CONTRAST, MOST_CONTRAST = -0.8, 1.0
_LEAST_PX = 1.0
_PARTING = 0.8  # of the way to torn
_PARTED_ENDS = 4
_BRIDGE = 0.4
Picture = NDArray[np.float64]


class PlantedKind(StrEnum):
    """What can be planted."""

    MISSING_END = "missing_end"
    BROKEN_PICK = "broken_pick"
    SLUB = "slub"
    FLOAT = "float"
    HOLE = "hole"
    STAIN = "stain"
    PARTED_ENDS = "parted_ends"

    @property
    def is_yarn(self) -> bool:
        """Whether its width is counted in yarns."""
        return self not in (PlantedKind.HOLE, PlantedKind.STAIN)

    @property
    def has_contrast(self) -> bool:
        """Whether a contrast can be asked for."""
        return self is not PlantedKind.PARTED_ENDS


@dataclass(frozen=True, slots=True)
class YarnPitch:
    """Distance of two yarns, mm."""

    end_mm: float
    pick_mm: float


@dataclass(frozen=True, slots=True)
class Planted:
    """A defect that is in the picture.

    Attributes:
        box: of its outline.
        contrast: that was reached.
    """

    box: WebBox
    contrast: float


def extent_px(kind: PlantedKind, size_mm: float, scale: WebScale, yarns: YarnPitch | None) -> tuple[float, float]:
    """Width across the web, px, and length along it, lines.

    `size_mm` is the length of a line along its yarn, the diameter of a hole or a stain.

    Raises:
        InputError: smaller than a pixel, or the yarns are needed and not known.
    """
    if kind.is_yarn and yarns is None:
        raise InputError(f"{kind}: as wide as a yarn, and the yarns are not known; give ends and picks a cm")
    end, pick = (0.0, 0.0) if yarns is None else (yarns.end_mm / scale.mm_per_px, yarns.pick_mm / scale.mm_per_line)
    across, along = size_mm / scale.mm_per_px, size_mm / scale.mm_per_line
    match kind:
        case PlantedKind.MISSING_END:
            across, least = max(end, _LEAST_PX), along
        case PlantedKind.PARTED_ENDS:
            across, least = max(_PARTED_ENDS * end, 2 * _LEAST_PX), along
        case PlantedKind.BROKEN_PICK | PlantedKind.FLOAT:
            along, least = max(pick, _LEAST_PX), across
        case PlantedKind.SLUB:
            along, least = max(2 * pick, _LEAST_PX), across
        case PlantedKind.HOLE | PlantedKind.STAIN:
            least = min(across, along)
    if least < _LEAST_PX:
        raise InputError(
            f"{kind}: {size_mm:g} mm is smaller than a pixel ({scale.mm_per_px:g} x {scale.mm_per_line:g} mm)"
        )
    return across, along


def plant(
    pixels: NDArray[np.uint8],
    kind: PlantedKind,
    box: FloatBox,
    contrast: float,
    *,
    yarns_px: tuple[float, float],
    key: int,
) -> Planted:
    """Plant one defect into `pixels`, which are changed.

    Args:
        pixels: uint8 (lines, width) or (lines, width, 3) RGB.
        kind: what.
        box: its outline's box in pixels and lines; fractions allowed.
        contrast: -0.8 to 1; not looked at where the kind has none.
        yarns_px: distance of two ends, px, and of two picks, lines; not looked at by holes and stains.
        key: of its random numbers.

    Raises:
        InputError: the box with its rim reaches beyond the picture, or the contrast is impossible.
    """
    if kind.has_contrast and not LEAST_CONTRAST <= contrast <= MOST_CONTRAST:
        raise InputError(f"contrast {contrast:g}: {LEAST_CONTRAST:g} to {MOST_CONTRAST:g} can be planted")
    top, left = int(np.floor(box.top)) - RIM_PX, int(np.floor(box.left)) - RIM_PX
    bottom, right = int(np.ceil(box.bottom)) + RIM_PX, int(np.ceil(box.right)) + RIM_PX
    if top < 0 or left < 0 or bottom > pixels.shape[0] or right > pixels.shape[1]:
        raise InputError(f"{kind} at {box}: it and its rim of {RIM_PX} px reach beyond the picture {pixels.shape[:2]}")
    window = (slice(top, bottom), slice(left, right))
    rows, columns = (np.arange(*ends, dtype=np.float64) + 0.5 for ends in ((top, bottom), (left, right)))
    cover = _cover(kind, box, rows, columns, key)
    inside = cover >= 0.5
    if not inside.any():  # thinner than a pixel and between two of them
        inside = cover >= cover.max()
    good = pixels[window].astype(np.float64).reshape(bottom - top, right - left, -1)
    cloth = _Cloth(good, box, rows, columns, yarns_px)
    if kind is PlantedKind.PARTED_ENDS:
        seen = _parted(cloth)
    else:
        base, change = _layers(kind, cloth, cover[..., None], key)
        missing = (1 + contrast) * float(good[inside].sum()) - float(base[inside].sum())
        available = float(change[inside].sum())
        seen = base + (missing / available if available > 0 else 0.0) * change
    seen = np.where((cover > 0)[..., None], np.clip(np.rint(seen), 0, 255), good)
    pixels[window] = seen.astype(np.uint8).reshape(pixels[window].shape)
    lines, across = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    hull = WebBox(left + int(across[0]), left + int(across[-1]) + 1, top + int(lines[0]), top + int(lines[-1]) + 1)
    before = float(good[inside].sum())
    return Planted(hull, float(seen[inside].sum()) / before - 1 if before > 0 else 0.0)


def _cover(kind: PlantedKind, box: FloatBox, rows: Cover, columns: Cover, key: int) -> Cover:
    match kind:
        case PlantedKind.HOLE:
            return ragged_cover(box, rows, columns, key, roughness=0.10, soft_px=1.0)
        case PlantedKind.STAIN:
            return ragged_cover(box, rows, columns, key, roughness=0.14, soft_px=2.0 * RIM_PX)
        case PlantedKind.SLUB:
            return spindle_cover(box, rows, columns, key)
        case _:
            return soft_box(box, rows, columns)


@dataclass(frozen=True, slots=True)
class _Cloth:
    """Good cloth around a defect, float64 (lines, columns, channels), and the places of its pixel centres."""

    good: Picture
    box: FloatBox
    rows: Cover
    columns: Cover
    yarns_px: tuple[float, float]


def _layers(kind: PlantedKind, cloth: _Cloth, weight: Picture, key: int) -> tuple[Picture, Picture]:
    """The cloth without the defect's tone, and what a strength of 1 adds to it."""
    good, box = cloth.good, cloth.box
    end_px, pick_lines = cloth.yarns_px
    match kind:
        case PlantedKind.MISSING_END | PlantedKind.BROKEN_PICK:
            along_warp = kind is PlantedKind.MISSING_END
            places, pitch = (cloth.rows, pick_lines) if along_warp else (cloth.columns, end_px)
            phase = float(np.random.default_rng(key).uniform(0, 2 * np.pi))
            bridge = 1 + _BRIDGE * np.cos(np.pi * places / max(pitch, 1.0) + phase)  # over one, under one
            return good, good * weight * (bridge[:, None, None] if along_warp else bridge[None, :, None])
        case PlantedKind.SLUB | PlantedKind.FLOAT:
            yarn = cv2.blur(good, (2 * round(end_px) + 1, 1), borderType=cv2.BORDER_REFLECT).reshape(good.shape)
            away = np.abs(cloth.rows - (box.top + box.bottom) / 2) / ((box.bottom - box.top) / 2)
            roundness = 0.6 + 0.4 * np.sqrt(np.clip(1 - away**2, 0, 1))
            return good * (1 - weight) + yarn * weight, yarn * weight * roundness[:, None, None]
        case PlantedKind.HOLE:
            return good * (1 - weight), np.broadcast_to(weight, good.shape)
        case _:
            return good, good * weight


def _parted(cloth: _Cloth) -> Picture:
    """Yarns pushed to both sides of the middle over half the length, and less and less to the ends and the sides."""
    box, good = cloth.box, cloth.good
    half_across, half_along = (box.right - box.left) / 2, (box.bottom - box.top) / 2
    away = cloth.columns - (box.left + box.right) / 2
    along = np.clip(np.abs(cloth.rows - (box.top + box.bottom) / 2) / half_along, 0, 1)
    push = _PARTING * np.clip(2 * (1 - along), 0, 1)
    near = 0.5 * (1 + np.cos(np.pi * np.clip(np.abs(away) / half_across, 0, 1)))
    source = np.arange(len(away))[None, :] - away[None, :] * push[:, None] * near[None, :]
    lines = np.broadcast_to(np.arange(len(along))[:, None], source.shape)
    moved = cv2.remap(
        good, source.astype(np.float32), lines.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved, np.float64).reshape(good.shape)
