"""Settings of the source of lines: `kind` says which, the other keys belong to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from glass_edge.config.base import Settings

BlockLines = Annotated[int, Field(ge=1, le=65536)]
LineRate = Annotated[float, Field(ge=1, le=1e6)]


class ReplayCameraSettings(Settings):
    """Images or strips played as a camera."""

    kind: Literal["replay"]
    """Source of lines."""
    path: Path
    """An image, or a folder of images played in natural order."""
    separate: bool = True
    """True: each image is another piece of cloth; false: consecutive scans of one web."""
    channels: Literal[1, 3] | None = None
    """Turn every image into grey (1) or RGB (3); left out: the first image decides and all must agree."""
    full_scale_16bit: int | None = Field(default=None, ge=1, le=65535)
    """Value of 16-bit files that becomes 255; left out: such files are refused."""
    block_lines: BlockLines = 256
    """Most lines handed over at once."""
    line_rate_hz: LineRate | None = None
    """Lines a second; left out: as fast as they are read."""


class LoomCameraSettings(Settings):
    """A simulated loom; its scale comes from the station's web settings."""

    kind: Literal["loom"]
    """Source of lines."""
    cloth: str = "plain"
    """plain, twill21, twill22, twill31, satin, or photo:NAME."""
    width_px: int = Field(default=2048, ge=64, le=32768)
    """Pixels of a line."""
    ends_per_cm: float = Field(default=24.0, gt=0, le=200)
    """Warp yarns a cm."""
    picks_per_cm: float = Field(default=20.0, gt=0, le=200)
    """Weft yarns a cm."""
    background: Literal["none", "white", "table", "dark"] = "none"
    """What lies beside the selvedges."""
    defects: str = ""
    """Woven into every section, such as "broken_pick:1,hole:2@4x4"."""
    contrast: float | None = Field(default=None, ge=0.01, le=1)
    """Mean relative change over a defect; left out: its natural strength."""
    section_m: float = Field(default=1.0, gt=0, le=10_000)
    """Length of a section, m."""
    sections: int | None = Field(default=None, ge=1)
    """Number of sections; left out: the loom never stops."""
    seed: int = Field(default=0, ge=0)
    """Another seed is another piece of the same cloth."""
    block_lines: BlockLines = 256
    """Lines handed over at once."""
    line_rate_hz: LineRate | None = None
    """Lines a second; left out: as fast as they are rendered."""


CameraSettings = Annotated[ReplayCameraSettings | LoomCameraSettings, Field(discriminator="kind")]
"""One of the sources, told apart by `kind`."""
