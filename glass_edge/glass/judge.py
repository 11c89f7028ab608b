"""Which hypothesis suits a style: manifold or hypersphere, judged from the spectrum of the average good image.

Promises: numbers and verdict of section 4 of the paper as the authors' program computes them, for every uint8 image,
a black one included (no points: manifold).

Source: Chen, Luo, Lv, Zhang, "A Unified Anomaly Synthesis Strategy with Gradient Ascent for Industrial Anomaly
Detection and Localization", ECCV 2024, and the behaviour of its published program.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

IMAGE_PX = 288
_SPECTRUM_PX = 289
_CENTRE = 144
_BLUR_PX = 39
_STRENGTH = 170.0
_DENSITY = 0.21
_RADIUS = 12.0
_POINTS = 60
_MEAN_RGB = np.array([0.485, 0.456, 0.406])
_STD_RGB = np.array([0.229, 0.224, 0.225])


@dataclass(frozen=True, slots=True)
class Judgement:
    """Verdict and the numbers behind it.

    Attributes:
        hypersphere: the verdict; False is the manifold.
        points: cells of the spectrum stronger than 170.
        side_x, side_y: largest distance of a point from the centre along each axis, cells.
        radius: largest distance from the centre, cells.
        disc_points: lattice points within the radius (on a 578 x 578 lattice that begins at index 0).
        line_density: points by 4 * side_x * side_y (sides at least 1).
        disc_density: points by `disc_points`.
        mean_grey: mean of the blurred grey image, 0 to 255.
        spectrum: float64 (289, 289), 20 ln |F|, zero frequency at (144, 144); -inf where F is 0.
    """

    hypersphere: bool
    points: int
    side_x: int
    side_y: int
    radius: float
    disc_points: int
    line_density: float
    disc_density: float
    mean_grey: float
    spectrum: NDArray[np.float64]

    @property
    def strong(self) -> NDArray[np.bool_]:
        """bool (289, 289): the points."""
        return self.spectrum > _STRENGTH

    def picture(self) -> NDArray[np.uint8]:
        """uint8 RGB (289, 289, 3): the spectrum in grey, its points in red, the radius as a circle."""
        finite = np.where(np.isfinite(self.spectrum), self.spectrum, 0.0)
        grey = np.clip(finite / max(float(finite.max()), 1.0) * 255, 0, 255).astype(np.uint8)
        picture = np.repeat(grey[:, :, None], 3, axis=2)
        picture[self.strong] = (255, 0, 0)
        if self.radius >= 1:
            cv2.circle(picture, (_CENTRE, _CENTRE), round(self.radius), (0, 255, 0), 1)
        return picture


def average_image(images: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Average of good images, each squeezed to 288 x 288: what `judge` takes.

    The true mean over images; the authors' program takes the mean of batch means, which differs when the last batch
    is smaller. Averaging pixel values equals averaging normalised ones and undoing the normalisation.

    Args:
        images: uint8 RGB (h, w, 3) or grey (h, w) each, any sizes.

    Returns:
        uint8 BGR (288, 288, 3), truncated.

    Raises:
        ValueError: no image.
    """
    total, count = np.zeros((IMAGE_PX, IMAGE_PX, 3)), 0
    for image in images:
        squeezed = Image.fromarray(image).convert("RGB").resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BILINEAR)
        total += np.asarray(squeezed)
        count += 1
    if not count:
        raise ValueError("no image to average")
    return _truncated(total[:, :, ::-1] / count)


def average_tensor_to_bgr(mean: NDArray[np.floating]) -> NDArray[np.uint8]:
    """An average of normalised images, (3, h, w) RGB, back to uint8 BGR (h, w, 3), truncated."""
    rgb = np.moveaxis(np.asarray(mean, np.float64), 0, -1) * _STD_RGB + _MEAN_RGB
    return _truncated(rgb[:, :, ::-1] * 255)


def judge(average_bgr: NDArray[np.uint8]) -> Judgement:
    """Judge a style by the average of its good images.

    Args:
        average_bgr: uint8 BGR (h, w, 3), from `average_image`.
    """
    resized = cv2.resize(average_bgr, (_SPECTRUM_PX, _SPECTRUM_PX))
    blurred = cv2.blur(cv2.cvtColor(resized, cv2.COLOR_BGR2GRAY), (_BLUR_PX, _BLUR_PX))
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(blurred.astype(np.float64))))
    with np.errstate(divide="ignore"):
        spectrum = 20.0 * np.log(magnitude)
    rows, columns = np.nonzero(spectrum > _STRENGTH)
    points = len(rows)
    if points:
        dy, dx = np.abs(rows - _CENTRE), np.abs(columns - _CENTRE)
        side_x, side_y, radius = int(dx.max()), int(dy.max()), float(np.hypot(dx, dy).max())
    else:
        side_x, side_y, radius = 0, 0, 0.0
    axis = np.arange(2 * _SPECTRUM_PX) - _CENTRE
    disc_points = int(np.count_nonzero(np.hypot(axis[:, None], axis[None, :]) <= radius))
    line_density = points / (4 * max(side_x, 1) * max(side_y, 1))
    disc_density = points / disc_points
    dense = line_density > _DENSITY or disc_density > _DENSITY
    return Judgement(
        hypersphere=dense and radius > _RADIUS and points > _POINTS,
        points=points,
        side_x=side_x,
        side_y=side_y,
        radius=radius,
        disc_points=disc_points,
        line_density=line_density,
        disc_density=disc_density,
        mean_grey=float(blurred.mean()),
        spectrum=spectrum,
    )


def _truncated(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    # the nudge keeps whole numbers whole after rounding errors of the mean; truncation as in the program
    return np.clip(np.floor(image + 1e-9), 0, 255).astype(np.uint8)
