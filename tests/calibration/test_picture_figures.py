"""Figures of pictures whose truth is known by construction."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from glass_edge.acquisition.loom.renderer import LoomRenderer
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.calibration.picture_figures import PictureFigures, measure_picture, median_picture
from glass_edge.fabric.geometry import ClothSpan

WIDTH, LINES = 512, 256
SPAN = ClothSpan(0, WIDTH)


def woven(picks_per_cm: float = 16.0, seed: int = 1) -> np.ndarray:
    spec = LoomSpec("plain", WIDTH, 0.1, 0.1, ends_per_cm=20, picks_per_cm=picks_per_cm, seed=seed, camera_seed=1)
    return LoomRenderer(spec).render(0, LINES)


def test_a_darker_lamp_moves_the_grey_and_little_else() -> None:
    lines = woven()
    one, two = measure_picture(lines, SPAN), measure_picture(np.rint(0.8 * lines).astype(np.uint8), SPAN)
    assert two.mean_grey == pytest.approx(0.8 * one.mean_grey, rel=0.01)
    assert two.contrast == pytest.approx(one.contrast, rel=0.02)
    assert two.sharpness == pytest.approx(one.sharpness, rel=0.02)
    assert two.pitch_along_lines == pytest.approx(one.pitch_along_lines, rel=0.01)


def test_blur_takes_sharpness_and_contrast_and_leaves_the_grey() -> None:
    lines = woven()
    one, two = measure_picture(lines, SPAN), measure_picture(cv2.GaussianBlur(lines, (0, 0), 1.5), SPAN)
    assert two.mean_grey == pytest.approx(one.mean_grey, rel=0.01)
    assert two.sharpness < 0.7 * one.sharpness
    assert two.contrast < 0.8 * one.contrast


@pytest.mark.parametrize("picks_per_cm", [12.0, 14.0, 16.0])
def test_the_pitch_is_that_of_the_picks(picks_per_cm: float) -> None:
    figures = measure_picture(woven(picks_per_cm), SPAN)
    assert figures.pitch_along_lines is not None
    repeats = figures.pitch_along_lines / (100 / picks_per_cm)
    assert repeats == pytest.approx(round(repeats), rel=0.04)  # of one pick or of the weave's two


def test_only_the_cloth_counts_and_narrow_cloth_has_no_pitch() -> None:
    lines = woven()
    lines[:, 256:] = 255
    figures = measure_picture(lines, ClothSpan(0, 100))
    assert figures.saturated_share == 0
    assert figures.mean_grey == pytest.approx(lines[:, :100].mean(), abs=1)
    assert (figures.pitch_along_lines, figures.pitch_across_px) == (None, None)
    assert measure_picture(lines, SPAN).saturated_share == pytest.approx(0.5, abs=0.01)


def test_colour_is_measured_as_its_grey() -> None:
    lines = woven()
    assert measure_picture(np.repeat(lines[:, :, None], 3, axis=2), SPAN).mean_grey == pytest.approx(
        measure_picture(lines, SPAN).mean_grey
    )


def test_of_a_rolls_pictures_the_median_counts() -> None:
    usual = PictureFigures(100.0, 0.1, 0.3, 0.0, 6.0, 5.0)
    stained = PictureFigures(10.0, 3.0, 9.0, 0.4, 12.0, None)
    assert median_picture([usual, stained, usual]) == replace(usual, saturated_share=0.4)


def test_a_pitch_that_pictures_do_not_agree_on_is_none() -> None:
    usual = PictureFigures(100.0, 0.1, 0.3, 0.0, 6.0, 5.0)
    twice, none = replace(usual, pitch_along_lines=12.0), replace(usual, pitch_along_lines=None)
    assert median_picture([usual, usual, twice]).pitch_along_lines == 6.0
    assert median_picture([usual, usual, twice, twice]).pitch_along_lines is None
    assert median_picture([usual, none, none]).pitch_along_lines is None
    assert median_picture([none]).pitch_along_lines is None
