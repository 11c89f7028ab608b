"""Settings of the web: scale and where the cloth lies in the camera's line."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from glass_edge.config.base import Settings
from glass_edge.fabric.geometry import ClothSpan, WebScale


class FixedSpan(Settings):
    """Cloth at fixed camera columns [left_px, right_px)."""

    left_px: int = Field(ge=0)
    """First column that shows cloth."""
    right_px: int = Field(ge=1)
    """Column after the last that shows cloth."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.right_px <= self.left_px:
            raise ValueError(f"right_px must exceed left_px = {self.left_px}")
        return self

    def to_span(self) -> ClothSpan:
        """The span as the domain knows it."""
        return ClothSpan(self.left_px, self.right_px)


class WebSettings(Settings):
    """Scale of the camera on the cloth and the cloth's span."""

    mm_per_px: float = Field(gt=0, lt=10)
    """Width of a pixel across the web, mm (measured by `glass-edge calibrate scale`)."""
    mm_per_line: float = Field(gt=0, lt=10)
    """Advance of the cloth between two lines, mm."""
    scale_file: Path | None = None
    """Scale of the camera as `glass-edge calibrate scale` wrote it: positions across go through its map of the lens.
    Left out: all pixels are of the same width."""
    span: Literal["auto"] | FixedSpan = "auto"
    """`auto`: the selvedges are found in the image; or fixed columns: { left_px = 400, right_px = 4096 }."""
    selvedge_margin_mm: float = Field(default=1.0, ge=0, le=200)
    """Cloth this near to a found selvedge is not scored, mm."""
    wander_mm: float = Field(default=5.0, ge=0, le=200)
    """Found selvedges are followed; tiles leave room for this way to either side, mm. 0: they stay where they were
    found at the start of a stretch."""

    @property
    def scale(self) -> WebScale:
        """The mean scale as the domain knows it."""
        return WebScale(self.mm_per_px, self.mm_per_line)

    def relative_to(self, folder: Path) -> WebSettings:
        """The same settings with the path counted from `folder`."""
        return self.model_copy(update={"scale_file": None if self.scale_file is None else folder / self.scale_file})
