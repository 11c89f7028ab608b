"""What tells a station how far its web went while it was down.

Promises: only cameras of a loom that goes on without the station are asked; of several joined cameras the encoder they
share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glass_edge.acquisition.camera import Camera
    from glass_edge.config.station import StationSettings
    from glass_edge.service.down_time import DownTime, Witness


def down_time_of(camera: Camera, source: Camera, settings: StationSettings) -> tuple[Camera, DownTime | None]:
    """`camera`, whose web goes on where the run before ended, and what keeps its place; itself and None of a replay.

    Args:
        camera: that is to be inspected.
        source: the camera inside of it.
        settings: station file.
    """
    from glass_edge.service.down_time import DownTime, DownTimeCamera

    witness = _witness(source, settings.web.mm_per_line)
    if witness is None:
        return camera, None
    down_time = DownTime(settings.events.journal, witness)
    return DownTimeCamera(camera, down_time), down_time


def _witness(source: Camera, mm_per_line: float) -> Witness | None:
    from glass_edge.acquisition.genicam_camera import GenicamCamera
    from glass_edge.acquisition.joined_camera import JoinedCamera
    from glass_edge.service.down_time import Witness

    if isinstance(source, GenicamCamera):
        return Witness(source.facts.serial_number, source.counts_per_line, source.encoder_bits, mm_per_line)
    if isinstance(source, JoinedCamera):
        members = [one.camera for one in source.members]
        live = [one for one in members if isinstance(one, GenicamCamera)]
        if len(live) == len(members):
            serials = "+".join(one.facts.serial_number for one in live)
            bits = min(one.encoder_bits for one in live)
            return Witness(serials, live[0].counts_per_line, bits, mm_per_line)
    return None
