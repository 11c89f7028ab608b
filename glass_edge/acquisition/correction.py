"""What corrects a camera's lines on their way.

Promises: of the corrections that are given to a camera, one run calls `begin`, then `apply` with its lines in order,
then `end`, in one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.genicam_spec import CameraFacts
from glass_edge.config.camera import GenicamCameraSettings


class Correction(Protocol):
    """A flat field in use."""

    def begin(self) -> None:
        """A run begins."""

    def apply(self, lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Next lines, corrected, in an array of its own."""

    def take_faults(self) -> tuple[str, ...]:
        """What is wrong with the light, a sentence each; once."""

    def end(self) -> None:
        """The run ends; never raises."""


LoadCorrection = Callable[[GenicamCameraSettings, CameraFacts], Correction]
"""Loads the flat field that the settings name, for a camera; an InputError where it is another's."""
