"""The camera a station file asks for.

Promises: `open_camera` checks everything that can be checked without taking a line; the camera is not started before
its `with` block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glass_edge.acquisition.camera import Camera
from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.camera import CameraSettings, GenicamCameraSettings, ReplayCameraSettings
from glass_edge.config.web import WebSettings

if TYPE_CHECKING:
    from glass_edge.acquisition.correction import LoadCorrection


def open_camera(camera: CameraSettings, web: WebSettings, *, load_correction: LoadCorrection | None = None) -> Camera:
    """Make the camera that `camera` describes on a web of the scale `web`.

    Args:
        camera: table `[camera]` of a station file.
        web: its table `[web]`.
        load_correction: loads a flat field; needed where `camera` names one.

    Raises:
        InputError: files are missing or unfit, a simulated cloth is impossible, or a GenICam camera is not there or
            cannot do what its profile asks.
        CameraLostError: a GenICam camera does not answer.
    """
    if isinstance(camera, GenicamCameraSettings):
        from glass_edge.acquisition.genicam_camera import GenicamCamera  # noqa: PLC0415

        if camera.virtual_loom is not None:
            from glass_edge.acquisition.genicam_virtual import make_virtual_loom  # noqa: PLC0415

            cti = make_virtual_loom(camera.virtual_loom, open_camera(camera.virtual_loom.cloth, web))
            camera = camera.model_copy(update={"cti": (cti,)})
        return GenicamCamera(camera, mm_per_line=web.mm_per_line, load_correction=load_correction)
    if isinstance(camera, ReplayCameraSettings):
        return ReplayCamera(
            camera.path,
            block_lines=camera.block_lines,
            line_rate_hz=camera.line_rate_hz,
            separate=camera.separate,
            channels=camera.channels,
            full_scale_16bit=camera.full_scale_16bit,
        )
    # The simulator is loaded only where it is used.
    from glass_edge.acquisition.loom.defects import parse_orders  # noqa: PLC0415
    from glass_edge.acquisition.loom.loom_camera import LoomCamera  # noqa: PLC0415
    from glass_edge.acquisition.loom.spec import LoomSpec, parse_background  # noqa: PLC0415

    spec = LoomSpec(
        cloth=camera.cloth,
        width_px=camera.width_px,
        mm_per_px=web.mm_per_px,
        mm_per_line=web.mm_per_line,
        ends_per_cm=camera.ends_per_cm,
        picks_per_cm=camera.picks_per_cm,
        background=parse_background(camera.background),
        defects=parse_orders(camera.defects),
        contrast=camera.contrast,
        section_lines=max(16, round(camera.section_m * 1000 / web.mm_per_line)),
        sections=camera.sections,
        seed=camera.seed,
    )
    return LoomCamera(spec, block_lines=camera.block_lines, line_rate_hz=camera.line_rate_hz)
