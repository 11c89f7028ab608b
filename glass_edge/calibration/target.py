"""The printed target: bars across with an absolute code, a ladder of lines along.

Promises: a target is described by its millimetres alone; `rectangles` are all its black areas, and whatever is drawn or
printed of it is drawn from them; a piece of the code of `LEAST_BARS` bars or more says which bars they are and whether
the picture is mirrored.

Layout, from the page's top left corner, x along the camera's line, y along the web:
- code band: bars along y, centres at a constant pitch, each narrow or wide (0.35 or 0.65 of the pitch). Widths are
  pseudo-random bits (SHA-256 of the target's measures), so two cameras that see parts of one target know how their
  parts lie to each other, and the picture of another target is not taken for this one. Centres are measured, since
  blur, exposure and ink move both edges of a bar alike.
- ladder: lines along x at the same pitch, the middle one wider; they give the scale along the web and the rotation.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from glass_edge.calibration.documents import load_document
from glass_edge.config.base import Settings
from glass_edge.errors import InputError
from glass_edge.files import write_json

LEAST_BARS = 12
NARROW, WIDE = 0.35, 0.65
LADDER_NARROW, LADDER_WIDE = 0.4, 0.75
MARGIN_MM, CODE_HEIGHT_MM, TEXT_HEIGHT_MM = 10.0, 30.0, 12.0
GAP_PITCHES = 3.0
MAX_BARS = 1000


class Rectangle(NamedTuple):
    """A black area, millimetres from the page's top left corner."""

    x_mm: float
    y_mm: float
    width_mm: float
    height_mm: float


def code_bits(key: str, count: int) -> NDArray[np.bool_]:
    """First `count` bits of a target called `key`, True for a wide bar; bool (count,)."""
    digest = b"".join(hashlib.sha256(f"{key} {block}".encode()).digest() for block in range(count // 256 + 1))
    return np.unpackbits(np.frombuffer(digest, np.uint8))[:count].astype(np.bool_)


class Target(Settings):
    """A target, as it was printed."""

    format: Literal[1] = 1
    """Version of this description."""
    kind: Literal["scale-target"] = "scale-target"
    """What the file is."""
    bars: int = Field(ge=LEAST_BARS, le=MAX_BARS)
    """Bars of the code."""
    pitch_mm: float = Field(ge=0.5, le=50)
    """Distance of two bars' centres, mm; also of two lines of the ladder."""
    ladder_lines: int = Field(default=21, ge=7, le=201)
    """Lines of the ladder, odd."""
    stretch_across: float = Field(default=1.0, ge=0.9, le=1.1)
    """Measured over nominal length of the print along the camera's line."""
    stretch_along: float = Field(default=1.0, ge=0.9, le=1.1)
    """Measured over nominal length of the print along the web."""

    @property
    def page_mm(self) -> tuple[float, float]:
        """Width and height of the page, nominal."""
        height = self.ladder_top_mm + self.ladder_lines * self.pitch_mm + TEXT_HEIGHT_MM + MARGIN_MM
        return 2 * MARGIN_MM + self.bars * self.pitch_mm, height

    @property
    def code_length_mm(self) -> float:
        """From the first bar's centre to the last one's, nominal: what a person measures on the print."""
        return (self.bars - 1) * self.pitch_mm

    @property
    def ladder_length_mm(self) -> float:
        """From the first line's middle to the last one's, nominal."""
        return (self.ladder_lines - 1) * self.pitch_mm

    @property
    def ladder_top_mm(self) -> float:
        """Upper end of the ladder's area."""
        return MARGIN_MM + CODE_HEIGHT_MM + GAP_PITCHES * self.pitch_mm

    @cached_property
    def bits(self) -> NDArray[np.bool_]:
        """Which bars are wide, bool (bars,)."""
        return code_bits(f"{self.bars} {self.pitch_mm:g} {self.ladder_lines}", self.bars)

    @property
    def bar_pitch_mm(self) -> float:
        """Pitch of the bars as printed."""
        return self.pitch_mm * self.stretch_across

    @property
    def ladder_pitch_mm(self) -> float:
        """Pitch of the ladder as printed."""
        return self.pitch_mm * self.stretch_along

    def rectangles(self) -> list[Rectangle]:
        """All black areas, nominal."""
        found = []
        for bar, wide in enumerate(self.bits):
            width = (WIDE if wide else NARROW) * self.pitch_mm
            centre = MARGIN_MM + (bar + 0.5) * self.pitch_mm
            found.append(Rectangle(centre - width / 2, MARGIN_MM, width, CODE_HEIGHT_MM))
        for line in range(self.ladder_lines):
            height = (LADDER_WIDE if line == self.ladder_lines // 2 else LADDER_NARROW) * self.pitch_mm
            centre = self.ladder_top_mm + (line + 0.5) * self.pitch_mm
            found.append(Rectangle(MARGIN_MM, centre - height / 2, self.bars * self.pitch_mm, height))
        return found

    def caption(self) -> str:
        """The line of text under the ladder."""
        return (
            f"glass-edge scale target 1: {self.bars} bars, pitch {self.pitch_mm:g} mm. Print at 100 %. Check: first to "
            f"last bar, middle to middle, {self.code_length_mm:g} mm; first to last line {self.ladder_length_mm:g} mm."
        )

    def save(self, path: Path) -> None:
        """Write the description as JSON, atomically."""
        write_json(path, self.model_dump(mode="json"))


def make_target(width_mm: float, pitch_mm: float, *, ladder_lines: int = 21) -> Target:
    """A target whose code covers `width_mm` or a little less.

    Raises:
        InputError: too few or too many bars, or an impossible pitch.
    """
    bars = int(width_mm / pitch_mm + 1e-9) if 0.5 <= pitch_mm <= 50 and width_mm > 0 else 0
    if not LEAST_BARS <= bars <= MAX_BARS:
        raise InputError(
            f"a target of {width_mm:g} mm with a pitch of {pitch_mm:g} mm has no {LEAST_BARS} to {MAX_BARS} bars; "
            "give a pitch of 0.5 to 50 mm, near 20 to 50 px of the camera"
        )
    if ladder_lines % 2 == 0 or not 7 <= ladder_lines <= 201:
        raise InputError(f"{ladder_lines} lines of the ladder; give an odd number from 7 to 201")
    return Target(bars=bars, pitch_mm=pitch_mm, ladder_lines=ladder_lines)


def load_target(path: Path) -> Target:
    """Read a target's description.

    Raises:
        InputError: missing, or no description of a target.
    """
    remedy = "give the .json that `glass-edge calibrate target` wrote beside the print"
    return load_document(path, Target, what="a target's description", remedy=remedy)
