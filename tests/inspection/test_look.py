"""Contrast of drawn defects against what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from glass_edge.fabric.geometry import WebBox
from glass_edge.inspection.look import look_at
from glass_edge.inspection.sink import DefectCrop

STRIDE = 4


def crop(image: np.ndarray, cells: np.ndarray, *, left_px: int = 0, first_line: int = 0) -> DefectCrop:
    """A picture at (left, first) and scores of cells that cover it."""
    height, width = image.shape[:2]
    first_cell, first_row = left_px // STRIDE, first_line // STRIDE
    end_cell, end_row = -(-(left_px + width) // STRIDE), -(-(first_line + height) // STRIDE)
    logits = np.where(cells, 5.0, -5.0).astype(np.float32)[first_row:end_row, first_cell:end_cell]
    box = WebBox(left_px, left_px + width, first_line, first_line + height)
    scored = WebBox(first_cell * STRIDE, end_cell * STRIDE, first_row * STRIDE, end_row * STRIDE)
    return DefectCrop(box, image, logits, scored)


@pytest.mark.parametrize(("left", "first"), [(0, 0), (3, 6), (9, 1)])
def test_the_contrast_is_that_of_the_alarmed_cells_against_the_cloth(left: int, first: int) -> None:
    web = np.full((80, 120), 100, np.uint8)
    web[40:48, 60:72] = 70
    web[52:56, 60:72] = 10  # beside it: neither defect nor undisturbed cloth
    cells = np.zeros((20, 30), bool)
    cells[10:12, 15:18] = True
    look = look_at(crop(web[first:70, left:110], cells, left_px=left, first_line=first), 0.0)
    assert look is not None
    assert look.contrast == pytest.approx(-0.3)
    assert (look.darkest, look.brightest) == pytest.approx((-0.3, -0.3))


def test_lamps_do_not_count_and_colours_are_taken_as_grey() -> None:
    web = np.full((80, 120, 3), (50, 100, 150), np.uint8)
    web[40:48, 60:72] = 140
    cells = np.zeros((20, 30), bool)
    cells[10:12, 15:18] = True
    bright, dark = look_at(crop(web, cells), 0.0), look_at(crop((web * 0.5).astype(np.uint8), cells), 0.0)
    assert bright is not None
    assert dark is not None
    assert bright.contrast == pytest.approx(0.4)
    assert dark.contrast == pytest.approx(bright.contrast, abs=0.01)


def test_a_hole_is_what_shows_what_lies_behind_the_cloth() -> None:
    web = np.full((80, 120), 100, np.uint8)
    web[40:48, 60:72] = 80
    web[42:46, 62:70] = 20  # a third of the alarmed cells
    cells = np.zeros((20, 30), bool)
    cells[10:12, 15:18] = True
    look = look_at(crop(web, cells), 0.0)
    assert look is not None
    assert look.is_hole(-0.7)
    assert not look.is_hole(-0.85)
    assert not look.is_hole(0.5)
    assert not look.is_hole(None)


def test_nothing_is_said_without_cloth_beside_it_or_without_scores() -> None:
    web = np.full((16, 16), 100, np.uint8)
    assert look_at(crop(web, np.ones((4, 4), bool)), 0.0) is None
    assert look_at(crop(web, np.zeros((4, 4), bool)), 0.0) is None
    box = WebBox(0, 16, 0, 16)
    assert look_at(DefectCrop(box, web, np.empty((0, 0), np.float32), box), 0.0) is None
    assert look_at(DefectCrop(box, web, np.full((4, 4), np.nan, np.float32), box), 0.0) is None
