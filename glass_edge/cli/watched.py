"""The live check that a station file asks for.

Promises: a look of another camera, width or flat field is refused before a line is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glass_edge.acquisition.camera import Camera
    from glass_edge.config.station import StationSettings


def watched(camera: Camera, settings: StationSettings) -> Camera:
    """`camera`, watched as `[fit_check]` says; itself where it says nothing.

    Raises:
        InputError: the look is missing, or of another camera or flat field.
    """
    if settings.fit_check.look is None:
        return camera
    from glass_edge.service.fit_watch import watch_fit

    sha256 = corrected_by(settings)
    return watch_fit(camera, settings.fit_check, mm_per_line=settings.web.mm_per_line, flat_field_sha256=sha256)


def corrected_by(settings: StationSettings) -> str | None:
    """SHA-256 of the flat field that corrects the lines, empty for none; None: each of several cameras has its own.

    Raises:
        InputError: its file is missing or damaged.
    """
    from glass_edge.calibration.flat_field import FlatField
    from glass_edge.config.camera import GenicamCameraSettings

    sha256 = None if settings.camera.kind == "joined" else ""  # joined cameras have one each
    if isinstance(settings.camera, GenicamCameraSettings) and settings.camera.flat_field is not None:
        sha256 = FlatField.load(settings.camera.flat_field).sha256
    return sha256
