"""The flat field that a station's camera names.

Promises: a profile of another camera or width is refused before a line is taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glass_edge.acquisition.genicam_camera import Correct
    from glass_edge.acquisition.genicam_spec import CameraFacts


def load_correction(path: Path, facts: CameraFacts) -> Correct:
    """Load the flat field at `path` for the camera `facts`.

    Raises:
        InputError: the file is no flat field, or another camera's.
    """
    from glass_edge.calibration.flat_field import FlatField

    field = FlatField.load(path)
    field.check_camera(width_px=facts.width_px, channels=facts.channels, model=facts.model, serial=facts.serial_number)
    return field.apply
