"""What the simulated loom weaves and how the camera sees it.

Promises: a `LoomSpec` is checked when made; impossible values are refused with an `InputError` that says what would do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from glass_edge.acquisition.loom.defects import DefectOrder
from glass_edge.acquisition.loom.weave import Weave, parse_weave
from glass_edge.errors import InputError

PHOTO_PREFIX = "photo:"
MAX_WIDTH_PX = 32768
MIN_WIDTH_PX = 64


class Background(StrEnum):
    """What the camera sees beside the cloth."""

    NONE = "none"
    WHITE = "white"
    TABLE = "table"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class LoomSpec:
    """A simulated loom.

    Attributes:
        cloth: a weave (plain, twill21, twill22, twill31, satin) or "photo:" and the name of a photograph.
        width_px: pixels of a camera line, 64..32768.
        mm_per_px: width of a pixel on the cloth, mm.
        mm_per_line: advance between two lines, mm.
        ends_per_cm: warp yarns a cm (woven cloth only).
        picks_per_cm: weft yarns a cm (woven cloth only).
        background: what lies beside the selvedges; none: the cloth fills the frame.
        defects: what to weave in, once in every section.
        contrast: mean relative change of radiance over a defect, 0.01..1; None: as strong as it would naturally be.
        section_lines: length of a section, lines.
        sections: how many are woven; None: the loom never stops.
        seed: another seed is another piece of the same cloth.
        camera_seed: lamps, pixels and noise of the camera; None: follows `seed`.
    """

    cloth: str = "plain"
    width_px: int = 2048
    mm_per_px: float = 0.1
    mm_per_line: float = 0.1
    ends_per_cm: float = 24.0
    picks_per_cm: float = 20.0
    background: Background = Background.NONE
    defects: tuple[DefectOrder, ...] = ()
    contrast: float | None = None
    section_lines: int = 10_000
    sections: int | None = 1
    seed: int = 0
    camera_seed: int | None = None

    def __post_init__(self) -> None:
        _within("width_px", self.width_px, MIN_WIDTH_PX, MAX_WIDTH_PX)
        _within("mm_per_px", self.mm_per_px, 0.005, 5.0)
        _within("mm_per_line", self.mm_per_line, 0.005, 5.0)
        _within("section_lines", self.section_lines, 16, 1_000_000_000)
        if self.sections is not None:
            _within("sections", self.sections, 1, 1_000_000_000)
        if self.contrast is not None:
            _within("contrast", self.contrast, 0.01, 1.0)
        if self.cloth.startswith(PHOTO_PREFIX):
            return
        parse_weave(self.cloth)
        for name, per_cm, size in (
            ("ends_per_cm", self.ends_per_cm, self.mm_per_px),
            ("picks_per_cm", self.picks_per_cm, self.mm_per_line),
        ):
            _within(name, per_cm, 0.5, 200.0)
            if 10.0 / per_cm < 2.0 * size:
                raise InputError(
                    f"{name} = {per_cm:g} at {size:g} mm a pixel is less than 2 pixels a yarn, which no camera "
                    f"resolves; give at most {5.0 / size:.3g} a cm or a finer scale"
                )

    @property
    def photo(self) -> str | None:
        """Name of the photograph, None for woven cloth."""
        return self.cloth.removeprefix(PHOTO_PREFIX) if self.cloth.startswith(PHOTO_PREFIX) else None

    @property
    def weave(self) -> Weave:
        """The weave of woven cloth."""
        return parse_weave(self.cloth)

    @property
    def end_line(self) -> int | None:
        """Line after the last, None when the loom never stops."""
        return None if self.sections is None else self.sections * self.section_lines


def parse_background(name: str) -> Background:
    """The background called `name`.

    Raises:
        InputError: there is none of that name.
    """
    try:
        return Background(name)
    except ValueError:
        raise InputError(f"no background is called '{name}'; known: {', '.join(Background)}") from None


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} = {value:g} is impossible; give {low:g} to {high:g}")
