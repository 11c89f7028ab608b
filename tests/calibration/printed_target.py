"""Pictures of a printed target by a renderer of their own: it knows the print (the SVG) and a camera, nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

Rect = tuple[float, float, float, float]


def printed(svg: str) -> list[Rect]:
    """Black rectangles of the drawing, mm."""
    black = svg[svg.index("<g ") :]
    found = re.findall(r'<rect x="([-.\d]+)" y="([-.\d]+)" width="([.\d]+)" height="([.\d]+)"', black)
    return [(float(x), float(y), float(w), float(h)) for x, y, w, h in found]


@dataclass
class LineCamera:
    """A line-scan camera: `place_mm(column)` is where it looks, one line every `mm_per_line`."""

    width: int
    place_mm: Callable[[np.ndarray], np.ndarray]
    mm_per_line: float
    turn_deg: float = 0.0
    blur_px: float = 1.0
    noise_dn: float = 2.0
    vignette: float = 0.3
    seed: int = 0

    def look(self, rects: list[Rect], page: tuple[float, float], lines: int, first_mm: float) -> np.ndarray:
        """uint8 (lines, width): the page on textured cloth."""
        over, over_y = 16, 2
        columns = (np.arange(self.width * over) + 0.5) / over
        along = (np.arange(lines * over_y) + 0.5) / over_y * self.mm_per_line + first_mm
        s, (turn, cos) = self.place_mm(columns), (np.sin(np.radians(self.turn_deg)), np.cos(np.radians(self.turn_deg)))
        bars = sorted(r for r in rects if r[3] > r[2])
        steps = sorted((r for r in rects if r[3] <= r[2]), key=lambda r: r[1])
        bar_edges = np.array([edge for x, _, w, _ in bars for edge in (x, x + w)])
        step_edges = np.array([edge for _, y, _, h in steps for edge in (y, y + h)])
        image = np.empty((lines, self.width))
        random = np.random.default_rng(self.seed)
        for line in range(lines):
            t = along[line * over_y : (line + 1) * over_y, None]
            x = cos * s + turn * t
            y = -turn * s + cos * t
            dark = (np.searchsorted(bar_edges, x) % 2 == 1) & (y > bars[0][1]) & (y < bars[0][1] + bars[0][3])
            in_steps = (x > steps[0][0]) & (x < steps[0][0] + steps[0][2])
            dark |= (np.searchsorted(step_edges, y) % 2 == 1) & in_steps
            paper = (x > 0) & (x < page[0]) & (y > 0) & (y < page[1])
            cloth = 0.5 + 0.12 * np.sin(2 * np.pi * s / 0.45) * np.sin(2 * np.pi * t / 0.5)
            light = np.where(paper, np.where(dark, 0.06, 0.9), cloth)
            image[line] = light.mean(axis=0).reshape(self.width, over).mean(axis=1)
        image = cv2.GaussianBlur(image, (0, 0), self.blur_px)
        image *= 220 * (1 - self.vignette * np.linspace(-1, 1, self.width) ** 2)
        return np.clip(np.rint(image + random.normal(0, self.noise_dn, image.shape)), 0, 255).astype(np.uint8)
