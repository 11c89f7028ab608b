"""Numbers that stand for names in registers.

Promises: a number keeps its meaning for ever, so new names are added and none is given away again; a name that has no
number is `OTHER`, and its text is in a register of its own where it matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

OTHER = 999
"""A name that this version has no number for."""

STATE_CODES: Mapping[str, int] = {
    "Preoperational": 1,
    "Halted": 2,
    "Error": 3,
    "Initialized": 5,
    "Ready": 6,
    "SingleExecution": 7,
    "ContinuousExecution": 8,
}
"""The StateNumbers of OPC 40100-1, tables 82 and 97; 4 is the state Operational around the last four."""

SHAPE_CODES: Mapping[str, int] = {"warp_line": 1, "weft_line": 2, "block": 3, "point": 4}

CAUSE_CODES: Mapping[str, int] = {"hole": 1, "running": 2, "periodic": 3, "repeat": 4, "dense": 5}

_MISFITS = ("focus", "brightness", "shading", "scale_along", "scale_across", "weave", "cloth")
_SCORE_DRIFTS = ("score_median", "score_p99", "score_p999")
_PICTURE_DRIFTS = ("mean_grey", "contrast", "sharpness", "saturated_share", "pitch_along_mm", "pitch_across_mm")
_DRIFTS = _SCORE_DRIFTS + _PICTURE_DRIFTS

FAULT_CODES: Mapping[str, int] = {
    "fatal": 1,
    "failed": 2,
    "camera": 10,
    "bad_block": 11,
    "overrun": 12,
    "lamp": 13,
    "camera_lost": 14,
    "engine_error": 20,
    "non_finite_scores": 21,
    "recipe_failed": 22,
    "recipe_not_kept": 23,
    "engine_rolled_back": 24,
    "no_cloth_found": 30,
    "web_moved": 31,
    "roll_without_cloth": 32,
    "crops_not_kept": 40,
    "report_failed": 41,
    "not_graded": 42,
    "fit_check_late": 50,
    "fit_check_failed": 51,
    "challenge_due": 52,
    "challenge_failed": 53,
    "drift_failed": 54,
    "station_down": 55,
    "journal_damaged": 56,
    **{f"misfit_{name}": 60 + number for number, name in enumerate(_MISFITS)},
    **{f"misfit_{name}_over": 80 + number for number, name in enumerate(_MISFITS)},
    **{f"drift_{name}": 100 + number for number, name in enumerate(_DRIFTS)},
    **{f"drift_{name}_over": 120 + number for number, name in enumerate(_DRIFTS)},
}


class Result(IntEnum):
    """What became of a command."""

    NONE = 0
    PENDING = 1
    DONE = 2
    REFUSED = 3
    UNKNOWN = 4


RESULT_MEANINGS: Mapping[int, str] = {
    Result.NONE: "none was given",
    Result.PENDING: "it is being carried out",
    Result.DONE: "the station did it",
    Result.REFUSED: "it was not done; the reason says why",
    Result.UNKNOWN: "it may have been done or not; look at what it should have changed",
}


class Reason(IntEnum):
    """Why a command was not done, or is not known to be."""

    NONE = 0
    STATION_REFUSED = 1
    NO_ANSWER = 2
    TEXT = 3
    INTERRUPTED = 4


REASON_MEANINGS: Mapping[int, str] = {
    Reason.NONE: "none",
    Reason.STATION_REFUSED: "the station refused; its words are in the message",
    Reason.NO_ANSWER: "the station did not answer",
    Reason.TEXT: "the text is empty, or no text in the set encoding",
    Reason.INTERRUPTED: "the adapter ended while it was carried out",
}


def meanings(codes: Mapping[str, int]) -> Mapping[int, str]:
    """The table the other way round."""
    return {number: name for name, number in codes.items()}
