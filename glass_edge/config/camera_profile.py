"""The camera profile: what a station wants of its camera, in the words of a weaver rather than of a vendor.

Promises: a key that is left out leaves the camera as it is; names of vendors appear only under `aliases` and
`features`. The same profile serves every camera that can do what it asks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from glass_edge.config.base import Settings, load_toml

ChunkName = Literal["frame_id", "encoder", "line", "timestamp", "line_status"]
"""What a camera can append to each block of lines."""
Intent = Literal[
    "pixel_format",
    "width_px",
    "offset_x_px",
    "block_lines",
    "line_rate_hz",
    "encoder_divider",
    "exposure_us",
    "gain",
    "encoder_value",
]
"""Intents that are one feature of the camera, and can be given an alias."""


class CameraProfile(Settings):
    """A camera profile file."""

    vendor: str = "*"
    """Vendor the profile was made for; `*` and `?` are wildcards."""
    model: str = "*"
    """Model the profile was made for; `*` and `?` are wildcards. A camera of another model is refused."""
    pixel_format: str | None = None
    """PFNC name, such as Mono8, Mono12p or BayerRG8."""
    width_px: int | None = Field(default=None, ge=1, le=65536)
    """Pixels of a line."""
    offset_x_px: int | None = Field(default=None, ge=0, le=65536)
    """First pixel of the sensor that is read."""
    block_lines: int | None = Field(default=None, ge=1, le=65536)
    """Lines the camera hands over at once."""
    line_trigger: Literal["encoder", "internal"] | None = None
    """What starts a line: the loom's encoder, or the camera's own clock."""
    line_rate_hz: float | None = Field(default=None, gt=0, le=1e6)
    """Lines a second of the camera's own clock; the limit where the encoder starts the lines."""
    encoder_divider: int | None = Field(default=None, ge=1, le=1_000_000)
    """Encoder counts a line, set in the camera."""
    encoder_counts_per_line: float | None = Field(default=None, gt=0, le=1e6)
    """Encoder counts from one line to the next as the camera reports them; left out: `encoder_divider`, else 1."""
    encoder_tolerance_lines: int = Field(default=0, ge=0, le=64)
    """Lines by which a block's encoder count may be off before the difference is believed (a late latch)."""
    encoder_bits: int = Field(default=64, ge=8, le=64)
    """Width of the camera's encoder counter, which starts over when it is full."""
    frame_id_bits: int = Field(default=64, ge=8, le=64)
    """Width of the camera's frame counter; 16 with old GigE cameras, which leave out 0 when they start over."""
    exposure_us: float | None = Field(default=None, gt=0, le=1e6)
    """Time of exposure of a line, microseconds."""
    gain: float | None = None
    """Gain in the camera's unit (dB with most)."""
    chunks: tuple[ChunkName, ...] = ("frame_id", "encoder", "line", "timestamp")
    """Switched on where the camera has them; their absence is no error."""
    required_chunks: tuple[ChunkName, ...] = ()
    """Without these the camera is refused."""
    buffers: int = Field(default=32, ge=16, le=4096)
    """Buffers the camera can fill before one is read."""
    aliases: dict[Intent, str] = Field(default_factory=dict)
    """The camera's own name of a feature, where it is not a usual one: { exposure_us = "ExposureTimeRaw" }."""
    features: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Further features, set in this order before all others."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.line_trigger == "encoder" and self.exposure_us is not None and self.line_rate_hz is not None:
            longest_us = 1e6 / self.line_rate_hz
            if self.exposure_us > longest_us:
                raise ValueError(
                    f"exposure_us = {self.exposure_us:g} is longer than a line at line_rate_hz = "
                    f"{self.line_rate_hz:g}; give at most {longest_us:g}"
                )
        return self

    @property
    def counts_per_line(self) -> float:
        """Encoder counts from one line to the next."""
        return self.encoder_counts_per_line or float(self.encoder_divider or 1)


def load_profile(path: Path) -> CameraProfile:
    """Read a profile file.

    Raises:
        InputError: the file is missing, is no TOML, or a key or value is wrong; all problems are listed.
    """
    return load_toml(path, CameraProfile)
