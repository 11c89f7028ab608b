"""The figures of benchmarks/defects.py, worked out by hand."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from glass_edge.fabric.geometry import WebBox

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def defects(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("defects")
    for name in ("defects", "strip_defects"):
        sys.modules.pop(name, None)


def test_pieces_joins_and_false_alarms_of_a_picture(defects: ModuleType) -> None:
    truths = [WebBox(100, 200, 10, 20), WebBox(300, 310, 10, 20), WebBox(330, 340, 10, 20), WebBox(900, 910, 90, 99)]
    found = [
        WebBox(100, 150, 10, 20),  # half of the first
        WebBox(160, 200, 10, 20),  # another part of it
        WebBox(207, 215, 10, 20),  # 7 px beside it: still its own
        WebBox(300, 340, 10, 20),  # over the second and the third
        WebBox(600, 700, 10, 20),  # nothing there
    ]
    figures = defects.judge(truths, found, 0.5)
    assert (figures.regions, figures.found, figures.pieces, figures.joining, figures.false_alarms) == (4, 3, 5, 1, 1)
    assert (figures.lines, figures.iou_lines) == (1, pytest.approx(0.5))
    assert (figures.iou_specks, figures.swollen) == (pytest.approx(0.25 + 0.25), 0)
    both = figures + figures
    assert (both.regions, both.metres, both.iou_specks) == (8, 1.0, pytest.approx(1.0))


def test_a_box_of_ten_times_the_area_is_swollen(defects: ModuleType) -> None:
    speck = WebBox(100, 104, 50, 54)  # with its slack 20 x 20 px
    assert defects.judge([speck], [WebBox(100, 300, 40, 60)], 1.0).swollen == 0
    assert defects.judge([speck], [WebBox(100, 301, 40, 60)], 1.0).swollen == 1


def test_a_diagonal_of_a_mask_is_one_region(defects: ModuleType, tmp_path: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[[2, 3, 4], [5, 6, 7]] = 255
    mask[10:12, 20:29] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    assert sorted(defects.true_boxes(tmp_path / "mask.png"), key=lambda box: box.first_line) == [
        WebBox(5, 8, 2, 5),
        WebBox(20, 29, 10, 12),
    ]
