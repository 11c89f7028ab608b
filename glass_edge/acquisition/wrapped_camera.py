"""What every camera has that stands around another one.

Promises: what is not said otherwise is the inner camera's, also what only some cameras can tell.
"""

from __future__ import annotations

from glass_edge.acquisition.camera import (
    Alarm,
    Camera,
    CameraFigures,
    MeasuresItself,
    TellsAlarms,
    TellsFaults,
)


class WrappedCamera:
    """The base of a wrapper, which opens, reads and closes the inner camera itself.

    Args:
        camera: not yet opened.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera

    @property
    def width_px(self) -> int:
        """Pixels of a line."""
        return self._camera.width_px

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return self._camera.channels

    @property
    def is_simulated(self) -> bool:
        """As the camera's."""
        return self._camera.is_simulated

    @property
    def first_line(self) -> int | None:
        """As the camera's."""
        return self._camera.first_line

    def take_faults(self) -> tuple[str, ...]:
        """See `camera.TellsFaults`."""
        return self._camera.take_faults() if isinstance(self._camera, TellsFaults) else ()

    def figures(self) -> CameraFigures:
        """See `camera.MeasuresItself`."""
        return self._camera.figures() if isinstance(self._camera, MeasuresItself) else CameraFigures()

    def take_alarms(self) -> tuple[Alarm, ...]:
        """See `camera.TellsAlarms`."""
        return self._camera.take_alarms() if isinstance(self._camera, TellsAlarms) else ()
