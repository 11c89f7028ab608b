"""The camera of a station: one, or several side by side.

Promises: everything that can be checked without taking a line is checked when the camera is opened: scales that are
not the cameras', gaps between what they see, encoders and colours that differ; the wide line comes with the map that
says where its columns lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glass_edge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from glass_edge.acquisition.camera import Camera
    from glass_edge.acquisition.joined_side import CommonEncoder, JoinedMember
    from glass_edge.calibration.line_scale import LineScale
    from glass_edge.calibration.web_map import CameraPlace
    from glass_edge.config.joined_camera import JoinedCameraSettings, JoinedMemberSettings, StationCameraSettings
    from glass_edge.config.web import WebSettings
    from glass_edge.fabric.across_map import AcrossMap
    from glass_edge.fabric.geometry import ClothSpan

_ALONG_TOLERANCE, _ACROSS_TOLERANCE = 0.01, 0.02
_SAME_SCALE = 1e-3


@dataclass(frozen=True, slots=True)
class StationCamera:
    """An opened camera.

    Attributes:
        camera: not started.
        across: where its columns lie across the web; None: [web] says so.
    """

    camera: Camera
    across: AcrossMap | None = None


def open_station_camera(camera: StationCameraSettings, web: WebSettings, style: str = "") -> StationCamera:
    """Make the camera of a station.

    Args:
        camera: table `[camera]`.
        web: table `[web]`.
        style: of the cloth, under which a lamp's level is kept.

    Raises:
        InputError: see `acquisition.open_camera`; scales are missing, another camera's, or do not fit each other.
        CameraLostError: a camera does not answer.
    """
    from glass_edge.acquisition import open_camera
    from glass_edge.cli.correction import correction_loader
    from glass_edge.config.joined_camera import JoinedCameraSettings

    if isinstance(camera, JoinedCameraSettings):
        if web.scale_file is not None:
            raise InputError("[web] scale_file: each of several cameras has a scale of its own; leave it out here")
        return _Joining(camera, web, style).open()
    span = _fixed(web)
    opened = open_camera(camera, web, load_correction=correction_loader(lambda: span, style))
    return StationCamera(opened, lens_map(web, opened))


def lens_map(web: WebSettings, camera: Camera) -> AcrossMap | None:
    """The map of the scale that `[web] scale_file` names, None without one.

    Raises:
        InputError: it cannot be read, is another camera's, or says otherwise than `[web]`.
    """
    from glass_edge.calibration.line_scale import load_scale

    if web.scale_file is None:
        return None
    scale = load_scale(web.scale_file)
    _check_camera(scale, web.scale_file, camera, "the station's camera")
    for key, here, there in (
        ("mm_per_px", web.mm_per_px, scale.mm_per_px),
        ("mm_per_line", web.mm_per_line, scale.mm_per_line),
    ):
        if abs(here / there - 1) > _SAME_SCALE:
            raise InputError(f"[web] {key} = {here:g}, and {web.scale_file} says {there:.6f}; write that")
    return scale.to_across_map()


def _check_camera(scale: LineScale, path: Path, camera: Camera, name: str) -> None:
    from glass_edge.acquisition.genicam_camera import GenicamCamera

    serial = camera.facts.serial_number if isinstance(camera, GenicamCamera) else ""
    for what, here, there in (("px", camera.width_px, scale.width_px), ("serial", serial, scale.camera_serial)):
        if here and there and here != there:
            raise InputError(
                f"{path}: measured with a camera of {what} {there}, and {name} has {here}; measure it "
                "with `glass-edge calibrate scale`"
            )


def _fixed(web: WebSettings) -> ClothSpan | None:
    return None if web.span == "auto" else web.span.to_span()


class _Joining:
    """Opens the cameras of a station that has several."""

    def __init__(self, settings: JoinedCameraSettings, web: WebSettings, style: str) -> None:
        self._settings, self._web, self._style = settings, web, style
        self._places: tuple[CameraPlace, ...] = ()

    def open(self) -> StationCamera:
        """See `open_station_camera`."""
        from glass_edge.acquisition.joined_camera import JoinedCamera
        from glass_edge.calibration.web_map import across_map, place_cameras

        settings = {one.name: one for one in self._settings.cameras}
        cameras = {one.name: self._open(one) for one in self._settings.cameras}
        scales = {name: self._scale(settings[name], camera) for name, camera in cameras.items()}
        self._places = place_cameras(scales)
        across = across_map(self._places)
        self._check_scale(across, scales)
        members = [self._member(place, settings[place.name], cameras[place.name]) for place in self._places]
        encoder = self._encoder(members)
        joined = JoinedCamera(members, window_lines=self._settings.window_lines, encoder=encoder)
        return StationCamera(joined, across)

    def _open(self, one: JoinedMemberSettings) -> Camera:
        from glass_edge.acquisition import open_camera
        from glass_edge.cli.correction import correction_loader

        def span() -> ClothSpan | None:
            """Known when the cameras have their places, which is before one runs."""
            from glass_edge.calibration.web_map import own_span

            wide, place = _fixed(self._web), next((place for place in self._places if place.name == one.name), None)
            return None if wide is None or place is None else own_span(self._places, place, wide)

        try:
            return open_camera(one, self._web, load_correction=correction_loader(span, self._style))
        except InputError as error:
            raise InputError(f"camera {one.name}: {error}") from error

    def _scale(self, one: JoinedMemberSettings, camera: Camera) -> LineScale:
        from glass_edge.calibration.line_scale import load_scale
        from glass_edge.calibration.web_map import even_scale

        if one.scale is None:
            assert one.left_mm is not None
            return even_scale(camera.width_px, one.left_mm, self._web.mm_per_px, self._web.mm_per_line)
        scale = load_scale(one.scale)
        _check_camera(scale, one.scale, camera, one.name)
        return scale

    def _check_scale(self, across: AcrossMap, scales: dict[str, LineScale]) -> None:
        web = self._web
        for name, scale in scales.items():
            if abs(scale.mm_per_line / web.mm_per_line - 1) > _ALONG_TOLERANCE:
                raise InputError(
                    f"[web] mm_per_line = {web.mm_per_line:g}, and the scale of camera {name} says "
                    f"{scale.mm_per_line:g}: joined cameras take a line at the same steps of the web"
                )
        columns, places = across.columns_px, across.places_mm
        mean = float((places[-1] - places[0]) / (columns[-1] - columns[0]))
        if abs(mean / web.mm_per_px - 1) > _ACROSS_TOLERANCE:
            raise InputError(f"[web] mm_per_px = {web.mm_per_px:g}, and the cameras' scales say {mean:.6f}; write that")

    @staticmethod
    def _member(place: CameraPlace, one: JoinedMemberSettings, camera: Camera) -> JoinedMember:
        from glass_edge.acquisition.genicam_camera import GenicamCamera
        from glass_edge.acquisition.joined_side import JoinedMember

        is_live = isinstance(camera, GenicamCamera)
        counts = camera.counts_per_line if isinstance(camera, GenicamCamera) else 1.0
        return JoinedMember(
            place.name, camera, place.first_px, place.end_px, one.along_offset_lines, counts, is_live=is_live
        )

    def _encoder(self, members: Sequence[JoinedMember]) -> CommonEncoder | None:
        """What the cameras count together; None where they begin together instead."""
        from glass_edge.acquisition.genicam_camera import GenicamCamera
        from glass_edge.acquisition.joined_side import CommonEncoder

        if self._settings.align_by == "start":
            return None
        without = [one.name for one in members if one.counts_per_line is None]
        if without:
            if self._settings.align_by is None:
                return None
            raise InputError(
                f'align_by = "encoder", and {", ".join(without)} sends no encoder count; enable its encoder chunk, or '
                'set align_by = "start"'
            )
        counts = {one.counts_per_line for one in members if one.counts_per_line is not None}
        if len(counts) > 1:
            told = ", ".join(f"{one.name} {one.counts_per_line:g}" for one in members)
            raise InputError(f"the cameras take a line at different encoder counts ({told}); set the same divider")
        bits = [one.camera.encoder_bits for one in members if isinstance(one.camera, GenicamCamera)]
        return CommonEncoder(counts.pop(), min(bits, default=64))
