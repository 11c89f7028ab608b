"""What is charted of a roll's figures, and what a person does when it moves.

Promises: each figure has its fault codes `drift_<name>` and `drift_<name>_over` for ever; no chart is finer than the
least change that matters, so a figure that hardly varies does not alarm for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glass_edge.events.payloads_records import RollFigures


@dataclass(frozen=True, slots=True)
class ChartedFigure:
    """One of the figures.

    Attributes:
        name: field of `RollFigures`.
        title: for a person.
        unit: of its values, empty for none.
        least_sigma: least spread of its chart; a part of its level where `is_relative`.
        is_relative: see `least_sigma`.
        above, below: what to do when it is out of control on that side; empty: that is no drift.
    """

    name: str
    title: str
    unit: str
    least_sigma: float
    is_relative: bool
    above: str
    below: str

    @property
    def code(self) -> str:
        """Fault code of its drift."""
        return f"drift_{self.name}"

    def of(self, figures: RollFigures) -> float | None:
        """Its value of a roll, None where it was not measured."""
        value: float | None = getattr(figures, self.name)
        return value

    def sigma_floor(self, values: Sequence[float]) -> float:
        """Least spread of a chart with this baseline."""
        level = abs(float(np.median(values))) if self.is_relative else 1.0
        return max(self.least_sigma * level, 1e-9)


_SCORES_UP = (
    "good cloth comes nearer to the threshold and false alarms will follow: clean the lens, check lamp and focus, and "
    "if the cloth itself is another now, train it anew or calibrate the threshold"
)
_SCORES_DOWN = (
    "the engine answers less than it did: check focus and lamp, and challenge the station; real defects may pass"
)
_YARN = "check the yarn, the density and the machine's settings; if the cloth is to be so, train it anew"

CHARTED = (
    ChartedFigure("score_median", "score, median", "logit", 0.02, False, _SCORES_UP, _SCORES_DOWN),
    ChartedFigure("score_p99", "score, 99 %", "logit", 0.03, False, _SCORES_UP, _SCORES_DOWN),
    ChartedFigure("score_p999", "score, 99.9 %", "logit", 0.05, False, _SCORES_UP, _SCORES_DOWN),
    ChartedFigure(
        "mean_grey", "mean grey", "", 0.005, True,
        "check lamp and exposure, and whether the yarn is brighter",
        "clean lens and lamp glass, check the lamp's age and the exposure, and whether the yarn is darker",
    ),
    ChartedFigure(
        "contrast", "contrast", "", 0.005, True,
        "check the lamp's angle and evenness, and whether the yarn is more uneven",
        "clean the lens, check focus and stray light",
    ),
    ChartedFigure(
        "sharpness", "sharpness", "", 0.005, True,
        "check that neither focus nor exposure was changed, and whether the cloth is rougher",
        "clean the lens, check focus, the cloth's distance and vibration",
    ),
    ChartedFigure("saturated_share", "saturated share", "", 0.0005, False, "lower exposure or lamp", ""),
    ChartedFigure(
        "pitch_along_mm", "pitch along", "mm", 0.002, True,
        f"fewer picks a cm, or the encoder's scale: {_YARN}",
        f"more picks a cm, or the encoder's scale: {_YARN}",
    ),
    ChartedFigure(
        "pitch_across_mm", "pitch across", "mm", 0.002, True,
        f"fewer ends a cm, or the camera's distance: {_YARN}",
        f"more ends a cm, or the camera's distance: {_YARN}",
    ),
)  # fmt: skip
