"""By what a station's rolls are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glass_edge.config.station import StationSettings
    from glass_edge.service.roll_judge import JudgeRules


def judge_rules(settings: StationSettings | None, style: str) -> JudgeRules:
    """Table of points and stop rules of a station file; without one, the four-point table and no stops.

    Raises:
        InputError: the file of the table is missing or wrong.
    """
    from glass_edge.config.grading import GradingSettings
    from glass_edge.service.roll_judge import JudgeRules

    if settings is None:
        return JudgeRules(GradingSettings().load(style))
    return JudgeRules(settings.grading.load(style), settings.stop.rules())
