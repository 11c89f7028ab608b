"""Whether the stages of a run get on.

Promises: a stage that waits for work turns at least every `TURN_S` (the camera's every read time-out); one that is
stuck in the camera, the engine or the sink does not turn; a standing loom changes nothing in that.
"""

from __future__ import annotations

from dataclasses import dataclass

TURN_S = 1.0
"""Longest wait for work, s."""


@dataclass(slots=True)
class StageTurns:
    """How often each stage went through its loop; each counter is written by its own thread alone."""

    camera: int = 0
    inference: int = 0
    defects: int = 0
