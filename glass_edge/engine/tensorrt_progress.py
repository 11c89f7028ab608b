"""How far a build is, from TensorRT's nested phases.

Promises: what is told rises from 0 to 1; an exception in the callback stops the build and is raised after it, never
through the library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Progress = Callable[[str, float], None]
"""Told the phase that runs and the share of the build that is done, 0 to 1."""


class PhaseTracker:
    """Share of nested phases, each with its number of steps.

    Args:
        told: see `Progress`.
    """

    def __init__(self, told: Progress) -> None:
        self._told = told
        self._steps: dict[str, tuple[str | None, int, int]] = {}  # parent, steps in all, steps done
        self._best = 0.0
        self.error: BaseException | None = None

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of `steps` steps begins inside `parent`."""
        self._steps[phase] = (parent, max(steps, 1), 0)
        self._tell(phase)

    def step(self, phase: str, number: int) -> bool:
        """Step `number`, from 0, is done; False asks the library to stop."""
        if phase in self._steps:
            parent, steps, _ = self._steps[phase]
            self._steps[phase] = (parent, steps, min(number + 1, steps))
            self._tell(phase)
        return self.error is None

    def finish(self, phase: str) -> None:
        """A phase ended, whole or not."""
        if phase in self._steps:
            parent, steps, _ = self._steps[phase]
            self._steps[phase] = (parent, steps, steps)
            self._tell(phase)
            del self._steps[phase]

    def _tell(self, phase: str) -> None:
        if self.error is not None:
            return
        self._best = max(self._best, self._share(phase))
        try:
            self._told(phase, self._best)
        except BaseException as error:  # noqa: BLE001 - raised again by the builder, outside the library
            self.error = error

    def _share(self, phase: str) -> float:
        """Share of the whole build: a phase fills the step of its parent that is not done yet."""
        inside = 0.0
        name: str | None = phase
        while name is not None and name in self._steps:
            parent, steps, done = self._steps[name]
            inside = min(1.0, (done + (inside if done < steps else 0.0)) / steps)
            name = parent
        return inside


def make_monitor(api: Any, tracker: PhaseTracker) -> Any:  # noqa: ANN401 - the library has no type information
    """TensorRT's progress monitor that tells `tracker`."""

    class Monitor(api.IProgressMonitor):  # type: ignore[misc] # the base is not known before run time
        """Bridge to the tracker; the method names are the library's."""

        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            tracker.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return tracker.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            tracker.finish(phase_name)

    return Monitor()
