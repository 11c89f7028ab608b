"""The flat field that a station's camera names.

Promises: a profile of another camera or width is refused before a line is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glass_edge.acquisition.correction import Correction, LoadCorrection
    from glass_edge.acquisition.genicam_spec import CameraFacts
    from glass_edge.calibration.flat_field import FlatField
    from glass_edge.config.camera import GenicamCameraSettings
    from glass_edge.fabric.geometry import ClothSpan


class FixedLight:
    """A flat field whose lamp is not followed."""

    def __init__(self, field: FlatField) -> None:
        self._field = field

    def begin(self) -> None:
        """Nothing to do."""

    def apply(self, lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See `FlatField.apply`."""
        return self._field.apply(lines)

    def take_faults(self) -> tuple[str, ...]:
        """None."""
        return ()

    def end(self) -> None:
        """Nothing to do."""


def correction_loader(span: Callable[[], ClothSpan | None] = lambda: None, style: str = "") -> LoadCorrection:
    """What loads the flat field of a camera.

    Args:
        span: says when a run begins where the cloth lies in the camera's line; None where that is not fixed.
        style: of the cloth.
    """

    def load(settings: GenicamCameraSettings, facts: CameraFacts) -> Correction:
        return load_correction(settings, facts, span, style)

    return load


def load_correction(
    settings: GenicamCameraSettings,
    facts: CameraFacts,
    span: Callable[[], ClothSpan | None] = lambda: None,
    style: str = "",
) -> Correction:
    """Load the flat field that `settings` name for the camera `facts`; see `correction_loader`.

    Raises:
        InputError: the file is no flat field, or another camera's, or what is known of its lamp is damaged.
    """
    from glass_edge.calibration.flat_field import FlatField
    from glass_edge.calibration.lamp_follower import LampFollower
    from glass_edge.calibration.lamp_memory import memory_path

    assert settings.flat_field is not None
    field = FlatField.load(settings.flat_field)
    field.check_camera(width_px=facts.width_px, channels=facts.channels, model=facts.model, serial=facts.serial_number)
    if not settings.lamp_drift:
        return FixedLight(field)
    return LampFollower(field, memory_path(settings.flat_field), span=span, style=style)
