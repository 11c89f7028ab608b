"""The station file: everything one station inspects with.

Promises: a file that loads is complete and consistent as far as the file itself can tell; relative paths in it are
relative to the file's own folder, wherever the program is started from; nothing on disk is touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from glass_edge.config.base import Settings, load_toml
from glass_edge.config.camera import GenicamCameraSettings, ReplayCameraSettings
from glass_edge.config.challenge import ChallengeSettings
from glass_edge.config.drift import DriftSettings
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.fit_check import FitCheckSettings
from glass_edge.config.grading import GradingSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.joined_camera import JoinedCameraSettings, StationCameraSettings
from glass_edge.config.metrics import MetricsSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.recipes import Recipes
from glass_edge.config.recording import RecordingSettings
from glass_edge.config.stop_rule import StopSettings
from glass_edge.config.web import WebSettings

STATION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class StationSettings(Settings):
    """A station file."""

    station: str = Field(pattern=STATION_PATTERN)
    """Name of the station, the topic of its events: letters, digits, '.', '_', '-'."""
    bundle: Path
    """The engine: a bundle engines/<style>/<version>, or the style's folder for its newest version."""
    roll_id: str | None = Field(default=None, min_length=1, max_length=128)
    """Name of the roll that is woven; left out: the station's name and the time."""
    recipes: Recipes = Field(default_factory=dict)
    """Styles that may be chosen while the station runs (`glass-edge recipe change`), each with the folder of its
    engines; the style of `bundle` always may."""
    camera: StationCameraSettings
    """Where the lines come from."""
    web: WebSettings
    """Scale and place of the cloth."""
    engine: EngineSettings = EngineSettings()
    """What computes."""
    inspection: InspectionSettings = InspectionSettings()
    """What counts as a defect."""
    events: EventSettings = EventSettings()
    """Journal and sockets."""
    grading: GradingSettings = GradingSettings()
    """Table of points by which rolls are graded."""
    stop: StopSettings = StopSettings()
    """When the loom is asked to stop."""
    output: OutputSettings = OutputSettings()
    """Pictures of defects."""
    recording: RecordingSettings = RecordingSettings()
    """Raw lines kept on disk."""
    fit_check: FitCheckSettings = FitCheckSettings()
    """Whether the camera still sees what was calibrated."""
    drift: DriftSettings = DriftSettings()
    """Whether good cloth and its picture stay as they were from roll to roll."""
    challenge: ChallengeSettings = ChallengeSettings()
    """How often the station must show that it finds known marks."""
    metrics: MetricsSettings = MetricsSettings()
    """Figures for Prometheus."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        width = getattr(self.camera, "width_px", None)
        if width is not None and self.web.span != "auto" and self.web.span.right_px > width:
            raise ValueError(
                f"web.span ends at column {self.web.span.right_px} and the camera's line has {width} px; "
                f"right_px can be at most {width}"
            )
        return self

    def relative_to(self, folder: Path) -> StationSettings:
        """The same settings with relative paths counted from `folder`."""
        camera = self.camera
        if isinstance(camera, ReplayCameraSettings):
            camera = camera.model_copy(update={"path": folder / camera.path})
        elif isinstance(camera, GenicamCameraSettings | JoinedCameraSettings):
            camera = camera.relative_to(folder)
        cache, revoked = self.engine.cache_folder, self.engine.revoked
        places = {
            "cache_folder": None if cache is None else folder / cache,
            "trusted_keys": tuple(folder / key for key in self.engine.trusted_keys),
            "revoked": None if revoked is None else folder / revoked,
        }
        engine = self.engine.model_copy(update=places)
        events = self.events.relative_to(folder)
        output = self.output.model_copy(update={"folder": folder / self.output.folder})
        recording = self.recording.model_copy(update={"folder": folder / self.recording.folder})
        look = self.fit_check.look
        fit_check = self.fit_check.model_copy(update={"look": None if look is None else folder / look})
        changes: dict[str, object] = {
            "bundle": folder / self.bundle,
            "camera": camera,
            "engine": engine,
            "events": events,
        }
        changes |= {"web": self.web.relative_to(folder), "metrics": self.metrics.relative_to(folder)}
        changes |= {"grading": self.grading.relative_to(folder)}
        changes |= {"recipes": {style: one.relative_to(folder) for style, one in self.recipes.items()}}
        return self.model_copy(update=changes | {"output": output, "recording": recording, "fit_check": fit_check})


def load_station(path: Path) -> StationSettings:
    """Read a station file; its relative paths come back joined to its folder.

    Raises:
        InputError: the file is missing, is no TOML, or a key or value is wrong; all problems are listed.
    """
    return load_toml(path, StationSettings).relative_to(path.parent)
