from __future__ import annotations

import numpy as np
import pytest

from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebBox, WebScale
from glass_edge.inspection.overlay import FOUND_RGB, OverlayBox, draw_strip
from glass_edge.inspection.score_strip import ScoreStrip

SCALE = WebScale(0.1, 0.1)


def _scores(n_lines: int, cells: int, hot: tuple[slice, slice]) -> ScoreStrip:
    logits = np.full((-(-n_lines // 4), cells), -5, np.float32)
    logits[hot] = 5
    return ScoreStrip(0, n_lines, 4, 0, logits)


def test_cloth_without_scores_is_shown_as_it_is() -> None:
    lines = np.random.default_rng(0).integers(0, 256, (100, 900), dtype=np.uint8)
    picture = draw_strip(lines, [], [], SCALE, 0.0, band_px=1000)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture[8:108, 8:908], np.repeat(lines[:, :, None], 3, axis=2))


def test_heat_lies_on_the_alarmed_cells_and_nowhere_else() -> None:
    lines = np.full((100, 900), 100, np.uint8)
    before = lines.copy()
    picture = draw_strip(lines, [_scores(100, 225, (slice(10, 12), slice(50, 60)))], [], SCALE, 0.0, band_px=1000)
    cloth = picture[8:108, 8:908].astype(int)
    changed = np.abs(cloth - 100).max(axis=2) > 0
    expected = np.zeros((100, 900), bool)
    expected[40:48, 200:240] = True
    assert np.array_equal(changed, expected)
    assert np.array_equal(lines, before)


def test_a_long_strip_is_turned_and_cut_into_equal_bands() -> None:
    lines = np.zeros((5000, 60), np.uint8)
    lines[4000:4010, 30] = 255
    picture = draw_strip(lines, [], [OverlayBox(WebBox(20, 40, 3990, 4020), "7")], SCALE, 0.0, band_px=1600)
    # 4 bands of 1250: line 4000 is in the last one, 250 from its start.
    assert picture.shape[1] == 1250 + 16
    band_height = picture.shape[0] // 4
    at = picture[3 * band_height + 8 + 30, 8 + 250 : 8 + 260]
    assert (at == 255).all()
    red = (picture == np.array(FOUND_RGB)).all(axis=2)
    assert red[3 * band_height :].any()
    assert not red[: 3 * band_height].any()


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(InputError, match="at least one line"):
        draw_strip(np.zeros((0, 50), np.uint8), [], [], SCALE, 0.0)
    with pytest.raises(InputError, match="band_px = 3"):
        draw_strip(np.zeros((5, 50), np.uint8), [], [], SCALE, 0.0, band_px=3)
