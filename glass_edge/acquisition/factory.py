"""The camera a station file asks for.

Promises: `open_camera` checks everything that can be checked without taking a line; the camera is not started before
its `with` block.
"""

from __future__ import annotations

from glass_edge.acquisition.camera import Camera
from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.camera import LoomCameraSettings, ReplayCameraSettings
from glass_edge.config.web import WebSettings


def open_camera(camera: ReplayCameraSettings | LoomCameraSettings, web: WebSettings) -> Camera:
    """Make the camera that `camera` describes on a web of the scale `web`.

    Raises:
        InputError: files are missing or unfit, or a simulated cloth is impossible.
    """
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
