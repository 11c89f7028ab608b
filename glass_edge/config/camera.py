"""Settings of the source of lines: `kind` says which, the other keys belong to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

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


class VirtualLoomSettings(Settings):
    """A virtual loom that is made before the camera is opened; its producer takes the place of `cti`."""

    folder: Path
    """Where it is made; it is replaced every time."""
    cloth: Annotated[ReplayCameraSettings | LoomCameraSettings, Field(discriminator="kind")]
    """What is woven, over and over: images, or simulated cloth of a number of `sections`."""
    line_rate_hz: LineRate = 1000.0
    """Lines of cloth a second."""
    counts_per_line: int = Field(default=1, ge=1, le=65536)
    """Encoder counts a line."""
    serial: str = Field(default="LOOM-1", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")
    """Serial number of its camera; of several on one machine each needs its own."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if isinstance(self.cloth, LoomCameraSettings) and self.cloth.sections is None:
            raise ValueError("cloth.sections is missing: say how many sections there are before the cloth repeats")
        return self


class GenicamCameraSettings(Settings):
    """A GenICam camera (extra `genicam`)."""

    kind: Literal["genicam"]
    """Source of lines."""
    cti: tuple[Path, ...] = ()
    """The vendor's GenTL producer (.cti); left out: those in the folders of GENICAM_GENTL64_PATH."""
    virtual_loom: VirtualLoomSettings | None = None
    """Instead of a camera and a loom: a virtual one."""
    serial_number: str | None = None
    """Which camera; left out with `user_id`: the only one there is."""
    user_id: str | None = None
    """Which camera, by the name somebody gave it."""
    profile: Path | None = None
    """What the camera is set to (docs/how-to/connect-a-camera.md); left out: it stays as it is."""
    flat_field: Path | None = None
    """Flat field of the camera at its place, made by `glass-edge calibrate flat-field`."""
    lamp_drift: bool = True
    """True: the flat field follows the lamp, and what is known of it is kept beside it (NAME.lamp.json): by the picture
    beside the cloth where [web] span has fixed columns that leave 64 px beside it, else by the mean of the whole line,
    which must be the style's. False: the flat field stays as it was measured."""
    simulated: bool = False
    """True: what the camera shows is no live cloth (known simulators say so themselves)."""
    process: bool = True
    """True: a process of its own for the camera; false: a thread, for a box with a single core."""
    ring_blocks: int = Field(default=32, ge=2, le=4096)
    """Blocks that may wait for the inspection; further ones are lost, and reported."""
    fetch_timeout_s: float = Field(default=0.1, ge=0.01, le=5)
    """Longest wait inside the driver, s."""
    stall_s: float | None = Field(default=None, gt=0, le=3600)
    """Without lines for this long the stream counts as dead, s; with an encoder only if it went on meanwhile. Left out:
    5 s where the profile has a line_trigger, else never."""
    open_timeout_s: float = Field(default=20.0, ge=1, le=300)
    """Longest time in which the camera must be open, s."""
    longest_pause_s: float = Field(default=10.0, ge=0.25, le=300)
    """Tries to find a lost camera again follow each other in growing steps up to this, s."""
    give_up_s: float = Field(default=60.0, ge=0, le=86400)
    """A camera that stays away for this long ends the roll as failed, s."""

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.serial_number is not None and self.user_id is not None:
            raise ValueError("give serial_number or user_id, not both")
        if self.virtual_loom is not None and self.cti:
            raise ValueError("give cti or virtual_loom, not both")
        return self

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        places: dict[str, object] = {"cti": tuple(folder / path for path in self.cti)}
        places["profile"] = None if self.profile is None else folder / self.profile
        places["flat_field"] = None if self.flat_field is None else folder / self.flat_field
        if (loom := self.virtual_loom) is not None:
            cloth = loom.cloth
            if isinstance(cloth, ReplayCameraSettings):
                cloth = cloth.model_copy(update={"path": folder / cloth.path})
            places["virtual_loom"] = loom.model_copy(update={"folder": folder / loom.folder, "cloth": cloth})
        return self.model_copy(update=places)


CameraSettings = Annotated[
    ReplayCameraSettings | LoomCameraSettings | GenicamCameraSettings, Field(discriminator="kind")
]
"""One of the sources, told apart by `kind`."""
