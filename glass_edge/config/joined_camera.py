"""Settings of several cameras side by side that are joined to one, and of whatever a station's camera is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from glass_edge.config.base import Settings
from glass_edge.config.camera import GenicamCameraSettings, LoomCameraSettings, ReplayCameraSettings


class CameraPlaceSettings(Settings):
    """Where one of several cameras looks."""

    name: str = Field(min_length=1, max_length=32)
    """As messages call it."""
    scale: Path | None = None
    """Where its columns lie, made by `glass-edge calibrate scale` from the pass of the target that all cameras took."""
    left_mm: float | None = None
    """Instead of a scale, for pictures and trials: where its column 0 lies; pixels are [web] mm_per_px wide."""
    along_offset_lines: int = Field(default=0, ge=-1_000_000, le=1_000_000)
    """How many lines later it sees the same cloth than a camera with 0."""

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if (self.scale is None) == (self.left_mm is None):
            raise ValueError(f"camera {self.name}: give its scale (or left_mm), not both")
        return self


class JoinedReplaySettings(CameraPlaceSettings, ReplayCameraSettings):
    """Images as one of several cameras."""


class JoinedLoomSettings(CameraPlaceSettings, LoomCameraSettings):
    """A simulated loom as one of several cameras."""


class JoinedGenicamSettings(CameraPlaceSettings, GenicamCameraSettings):
    """A GenICam camera as one of several."""


JoinedMemberSettings = Annotated[
    JoinedReplaySettings | JoinedLoomSettings | JoinedGenicamSettings, Field(discriminator="kind")
]


class JoinedCameraSettings(Settings):
    """Several cameras side by side."""

    kind: Literal["joined"]
    """Source of lines."""
    cameras: tuple[JoinedMemberSettings, ...] = Field(min_length=1, max_length=16)
    """The cameras, in any order: their scales say which lies left of which."""
    align_by: Literal["encoder", "start"] | None = None
    """`encoder`: the cameras' encoder counts are the same at the same moment (one frame grabber, or counters that are
    reset together); `start`: the first line of each is of the same moment, so the station is started while the web
    stands. Left out: encoder where every camera sends its count."""
    window_lines: int = Field(default=8192, ge=256, le=1_000_000)
    """How many lines a camera may lag behind the others before they go on without it."""

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        twice = [name for name, times in Counter(one.name for one in self.cameras).items() if times > 1]
        if twice:
            raise ValueError(f"several cameras are called {', '.join(twice)}; each needs a name of its own")
        return self

    def relative_to(self, folder: Path) -> JoinedCameraSettings:
        """The same settings with relative paths counted from `folder`."""
        cameras = []
        for one in self.cameras:
            moved: JoinedMemberSettings = one
            if isinstance(moved, JoinedReplaySettings):
                moved = moved.model_copy(update={"path": folder / moved.path})
            elif isinstance(moved, JoinedGenicamSettings):
                moved = moved.relative_to(folder)
            scale = None if moved.scale is None else folder / moved.scale
            cameras.append(moved.model_copy(update={"scale": scale}))
        return self.model_copy(update={"cameras": tuple(cameras)})


StationCameraSettings = Annotated[
    ReplayCameraSettings | LoomCameraSettings | GenicamCameraSettings | JoinedCameraSettings,
    Field(discriminator="kind"),
]
"""What a station's `[camera]` may be, told apart by `kind`."""
