"""Where defects are planted.

Promises: places are drawn evenly over what is free, a pure function of the generator's seed; no two defects of a pass
come nearer to each other than asked, and none nearer to what is to be kept clear; every order gets a place, in as many
passes over the cloth as that takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.planted_defects_shapes import FloatBox
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebBox

_DRAWS = 32
_FULL_AFTER = 40  # orders in a row without a place end a pass


@dataclass(frozen=True, slots=True)
class PlantingArea:
    """Cloth in which outlines may lie.

    Attributes:
        stretch: number of the stretch of cloth.
        box: columns and lines of that stretch.
        clear: boxes that are kept clear.
    """

    stretch: int
    box: WebBox
    clear: tuple[WebBox, ...] = ()

    def room(self, width: float, length: float) -> float:
        """Ways to place a box of this size, px2; 0: it does not fit."""
        across = self.box.right_px - self.box.left_px - width
        along = self.box.end_line - self.box.first_line - length
        return max(0.0, across) * max(0.0, along)


@dataclass(frozen=True, slots=True)
class Place:
    """An order's place: its number, the stretch and the box in it."""

    order: int
    stretch: int
    box: FloatBox


def place_all(
    extents: Sequence[tuple[float, float]],
    areas: Sequence[PlantingArea],
    apart: tuple[float, float],
    rng: np.random.Generator,
) -> list[list[Place]]:
    """Places by pass.

    Args:
        extents: width, px, and length, lines, of each order.
        areas: where they may lie.
        apart: least distance between two defects of a pass across, px, and along, lines.
        rng: draws the places.

    Raises:
        InputError: an order finds no place on empty cloth.
    """
    left, passes = list(range(len(extents))), []
    while left:
        held = [_Held(area, apart) for area in areas]
        places: list[Place] = []
        waiting: list[int] = []
        failures = 0
        order = [left[k] for k in rng.permutation(len(left))]
        for done, number in enumerate(order):
            if failures >= _FULL_AFTER:
                waiting += order[done:]
                break
            place = _place(number, extents[number], held, rng)
            if place is None:
                failures += 1
                waiting.append(number)
            else:
                failures = 0
                places.append(place)
        if not places:
            width, length = extents[waiting[0]]
            raise InputError(
                f"no place is left for {width:.0f} px x {length:.0f} lines in {len(areas)} pieces of cloth: "
                "they are too small, or alarm without a defect wherever it could lie"
            )
        passes.append(places)
        left = waiting
    return passes


class _Held:
    """An area and what lies in it already."""

    def __init__(self, area: PlantingArea, apart: tuple[float, float]) -> None:
        self.area, self._apart = area, apart
        clear = [(box.left_px, box.right_px, box.first_line, box.end_line) for box in area.clear]
        self._boxes = np.array(clear, np.float64).reshape(-1, 4)

    def draw(self, width: float, length: float, rng: np.random.Generator) -> FloatBox | None:
        box, at = self.area.box, rng.random((_DRAWS, 2))
        left = box.left_px + at[:, 0] * (box.right_px - box.left_px - width)
        top = box.first_line + at[:, 1] * (box.end_line - box.first_line - length)
        free = np.flatnonzero(~self._is_near(left, left + width, top, top + length))
        if not len(free):
            return None
        one = int(free[0])
        found = FloatBox(float(left[one]), float(left[one] + width), float(top[one]), float(top[one] + length))
        self._boxes = np.vstack([self._boxes, (found.left, found.right, found.top, found.bottom)])
        return found

    def _is_near(
        self,
        left: NDArray[np.float64],
        right: NDArray[np.float64],
        top: NDArray[np.float64],
        bottom: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        across, along = self._apart
        taken_left, taken_right, taken_top, taken_bottom = self._boxes.T[:, None, :]
        near = (
            (left[:, None] < taken_right + across)
            & (taken_left < right[:, None] + across)
            & (top[:, None] < taken_bottom + along)
            & (taken_top < bottom[:, None] + along)
        )
        return np.asarray(near.any(axis=1))


def _place(number: int, extent: tuple[float, float], held: list[_Held], rng: np.random.Generator) -> Place | None:
    rooms = np.array([one.area.room(*extent) for one in held])
    while rooms.any():
        chosen = int(rng.choice(len(held), p=rooms / rooms.sum()))
        box = held[chosen].draw(*extent, rng)
        if box is not None:
            return Place(number, held[chosen].area.stretch, box)
        rooms[chosen] = 0
    return None
