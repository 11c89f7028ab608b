"""What each kind of event carries.

Promises: every number is finite and its unit stands in its name; payloads are immutable; keys this version does not
know are refused when a payload is made, and ignored when one is read (`parsing.parse_event`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from glass_edge.fabric.defect import DefectShape

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]
MAX_TEXT_LENGTH = 2000
Text: TypeAlias = Annotated[str, Field(max_length=MAX_TEXT_LENGTH)]
Operator: TypeAlias = Annotated[str, Field(max_length=128)]
Line: TypeAlias = Annotated[int, Field(ge=0)]
Count: TypeAlias = Annotated[int, Field(ge=0)]
Length: TypeAlias = Annotated[float, Field(ge=0)]
Score: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class StationState(StrEnum):
    """State of the station, named as in OPC 40100-1 (machine vision)."""

    PREOPERATIONAL = "Preoperational"
    HALTED = "Halted"
    ERROR = "Error"
    INITIALIZED = "Initialized"
    READY = "Ready"
    SINGLE_EXECUTION = "SingleExecution"
    CONTINUOUS_EXECUTION = "ContinuousExecution"


class GapReason(StrEnum):
    """Why cloth was not inspected."""

    CAMERA_GAP = "camera_gap"
    CAMERA_LOST = "camera_lost"
    BAD_BLOCK = "bad_block"
    BAD_IMAGE = "bad_image"
    OVERRUN = "overrun"
    ENGINE_ERROR = "engine_error"
    NON_FINITE_SCORES = "non_finite_scores"
    NO_CLOTH_FOUND = "no_cloth_found"
    SEGMENT_EDGE = "segment_edge"
    SHUTDOWN = "shutdown"


class Document(BaseModel):
    """Base of everything that travels: immutable, finite numbers, unknown keys refused unless a reader says not."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class RollStart(Document):
    """A roll begins."""

    first_line: Line
    """Web line number of the roll's first line; `along_mm` counts from here."""
    mm_per_px: float = Field(gt=0)
    """Width of a pixel across the web, mm."""
    mm_per_line: float = Field(gt=0)
    """Advance of the cloth between two camera lines, mm."""
    left_px: int | None = Field(default=None, ge=0)
    """First camera column that shows cloth; null when it is found later."""
    right_px: int | None = Field(default=None, gt=0)
    """Camera column after the last that shows cloth; null when it is found later."""


class RollEnd(Document):
    """A roll is complete: lines inspected and lines missed add up to the lines woven."""

    end_line: Line
    """Web line number after the roll's last line."""
    lines_woven: Count
    lines_inspected: Count
    lines_missed: Count
    woven_m: Length
    inspected_m: Length
    missed_m: Length
    defects: Count
    """Defects found on the roll."""
    cloth_width_mm: float | None = Field(default=None, gt=0)
    """Mean width of the cloth, selvedge to selvedge, mm; null where no line showed both selvedges."""
    cloth_width_least_mm: float | None = Field(default=None, gt=0)
    """Least width, mm."""
    cloth_width_greatest_mm: float | None = Field(default=None, gt=0)
    """Greatest width, mm."""
    grading_table: Name | None = None
    """Table of points the roll was graded by; null when it was not graded, as are the fields below."""
    points: Count | None = None
    """Points of the roll."""
    points_per_100_m2: Length | None = None
    """Points on 100 square metres inspected; null when nothing was."""
    points_per_100_yd2: Length | None = None
    """Points on 100 square yards inspected."""
    is_first_quality: bool | None = None
    """Whether the roll keeps the limits of first quality."""
    grade_reasons: tuple[Text, ...] = ()
    """Why it does not, a sentence each."""
    grade_remarks: tuple[Text, ...] = ()
    """What a reader of the grade must know besides, such as cloth that was not inspected."""

    @model_validator(mode="after")
    def _adds_up(self) -> RollEnd:
        if self.lines_inspected + self.lines_missed != self.lines_woven:
            raise ValueError(
                f"{self.lines_inspected} lines inspected + {self.lines_missed} missed are not {self.lines_woven} woven"
            )
        return self


class DefectPayload(Document):
    """One fault of the cloth as known at this moment; carried by defect.new, defect.update and defect.end."""

    defect_id: int = Field(ge=1)
    """The same in new, update and end."""
    shape: DefectShape
    """Geometric class."""
    along_mm: float
    """Start of the box along the roll, mm from the roll's first line."""
    across_mm: float
    """Left edge of the box, mm from the left selvedge."""
    width_mm: float = Field(gt=0)
    """Extent across the web, mm."""
    length_mm: float = Field(gt=0)
    """Extent along the web, mm."""
    area_mm2: Length
    """Area above threshold, mm2."""
    peak_score: Score
    mean_score: Score
    peak_logit: float
    """Largest smoothed logit; what the threshold is compared with."""
    first_line: Line
    """First web line of the box."""
    end_line: int = Field(gt=0)
    """Web line after the box."""
    left_px: Line
    """First camera column of the box."""
    right_px: int = Field(gt=0)
    """Camera column after the box."""
    oriented_length_mm: float | None = Field(default=None, ge=0)
    """Longer side of the smallest rectangle around the defect, however it lies, mm; null when it was not measured."""
    oriented_width_mm: float | None = Field(default=None, ge=0)
    """Its shorter side, mm."""
    direction_deg: float | None = Field(default=None, ge=-90, le=90)
    """Of the longer side against the warp: 0 along the web, positive where it leans to the right going along; null
    where no side is clearly longer."""
    contrast: float | None = Field(default=None, ge=-1)
    """Brightness against the cloth around it, less 1 (-0.3: 30 % darker); null where it could not be seen."""
    is_running: bool = False
    """A line along the web that is as long as the station calls running."""
    is_hole: bool = False
    """It shows what lies behind the cloth."""
    is_cut_mark: bool = False
    """A line over the whole width that the station takes for the border of two rolls; it is no fault."""
    parts: int = Field(default=1, ge=1)
    """Marks in a row that were joined to one defect."""
    merged_into: int | None = Field(default=None, ge=1)
    """In defect.end of a defect that grew together with an older one: the older one's id, which goes on."""
    crop_file: Text | None = None
    """Image of the defect, a path relative to the station's crop folder; null when none is kept."""

    @model_validator(mode="after")
    def _box(self) -> DefectPayload:
        if self.right_px <= self.left_px or self.end_line <= self.first_line:
            raise ValueError(
                f"empty box: columns [{self.left_px}, {self.right_px}), lines [{self.first_line}, {self.end_line})"
            )
        return self


class CoverageGap(Document):
    """Cloth that passed and was not inspected."""

    first_line: Line
    """First web line that was not inspected."""
    end_line: int = Field(gt=0)
    """Web line after the last that was not inspected."""
    along_mm: float
    """Start of the gap, mm from the roll's first line."""
    length_m: Length
    """Length of the gap along the roll, m."""
    reason: GapReason
    detail: Text = ""
    """What happened, for a person: the file, the exception, the counter."""

    @model_validator(mode="after")
    def _span(self) -> CoverageGap:
        if self.end_line <= self.first_line:
            raise ValueError(f"empty gap: lines [{self.first_line}, {self.end_line})")
        return self


class StopRequest(Document):
    """The line controller is asked to stop the loom. A request with a handshake, never a safety function."""

    request_id: Name
    """Repeated in the acknowledgement."""
    reason: Text
    defect_id: int | None = Field(default=None, ge=1)
    """Defect that caused it; null for another cause."""
    along_mm: float | None = None
    """Where the cause is, mm from the roll's first line; null when it has no place."""
    across_mm: float | None = None
    """Where it is across, mm from the left selvedge; null when it has no place."""
    cause: Name | None = None
    """Rule that asks: hole, running, periodic, repeat or dense; null for another."""
    period_mm: float | None = Field(default=None, gt=0)
    """Spacing of a repeat along the web, mm; null when there is none."""


class StopAck(Document):
    """The line controller answered a stop request."""

    request_id: Name
    accepted: bool
    """True: the controller stops the loom. False: it refused."""
    source: Name
    """Who answered: the adapter's or the controller's name."""
    detail: Text = ""


class EngineActivated(Document):
    """From this event on, another engine or threshold decides."""

    style: Name
    version: Name
    """Version of the bundle."""
    model_sha256: Sha256
    """SHA-256 of the bundle's model file."""
    runtime: Name
    """Runtime and its version."""
    precision: Name
    threshold_logit: float
    """A defect is where the smoothed logit is at or above this."""
    promised_per_100m: Length | None = None
    """False alarms in 100 m of good cloth that this threshold promises at most; null when it promises none."""


class Status(Document):
    """State of the station, sent when it changes, and with its figures from time to time while a roll runs."""

    state: StationState
    fault_code: Name | None = None
    """Short stable name of the fault; null when there is none."""
    message: Text | None = None
    """The fault for a person, with what to do."""
    roll_m: Length = 0.0
    """Metres woven on the open roll so far; 0 without one."""
    roll_lines: Count = 0
    """Camera lines of the open roll so far; 0 without one."""
    web_m_per_min: float | None = Field(default=None, ge=0)
    """Speed of the cloth over the last seconds, m/min; 0: it stands; null where no figures are told."""
    line_rate_hz: float | None = Field(default=None, ge=0)
    """Lines a second while the web runs, measured by the camera's own clock; null where it has none."""
    exposure_headroom: float | None = Field(default=None, le=1)
    """Part of a line's time that the exposure leaves free; below 0 lines are missed; null where it is not known."""
    cloth_width_mm: float | None = Field(default=None, gt=0)
    """Live width of the cloth, selvedge to selvedge, mm; null where a selvedge is out of sight."""
    alarms_per_100m: Length | None = None
    """Defects in 100 m inspected since the engine was activated, real ones too; null where no figures are told."""
    alarms_low_per_100m: Length | None = None
    """Lower end of the 95 % interval of that rate."""
    alarms_high_per_100m: Length | None = None
    """Upper end of it."""
    promised_per_100m: Length | None = None
    """False alarms in 100 m of good cloth that the engine's threshold promises at most; null when it promises none."""
    is_bypassed: bool = False
    """True while the stop rules are bypassed: no stop is asked for."""

    @model_validator(mode="after")
    def _fault(self) -> Status:
        if self.state is StationState.ERROR and self.fault_code is None:
            raise ValueError("state Error needs a fault_code")
        if (self.fault_code is None) != (self.message is None):
            raise ValueError("fault_code and message come together or not at all")
        return self


class Command(Document):
    """Somebody asked the station to do something: who, what, and whether it does."""

    command: Name
    """roll, recipe, acknowledge or bypass; a later minor version may add others."""
    client: Name
    """Name of the client's key; local over an ipc socket, loopback over a tcp socket without keys."""
    role: Name
    """observer, controller or engineer."""
    uid: Count | None = None
    """User id of the client's process over an ipc socket, as the system tells it; null over tcp."""
    operator: Operator = ""
    """Whom the client names; the station cannot prove it."""
    accepted: bool
    """True: the station does it, or has done it."""
    reason: Text = ""
    """Why it was refused; of an accepted command, what the client gave as its reason."""
    roll_id: Name | None = None
    """Of the new roll, in roll; the fields below are null likewise where the command has none."""
    style: Name | None = None
    """Style asked for, in recipe."""
    version: Name | None = None
    """In recipe: version of the engine, that which the station prepares where it was accepted."""
    request_id: Name | None = None
    """Stop request that is answered, in acknowledge."""
    is_on: bool | None = None
    """Whether the bypass is to be on, in bypass."""
    refused_unlisted: Count = 0
    """Commands that were refused since the last event of this kind and have no event of their own, for their number."""


class OtherPayload(BaseModel):
    """Payload of a kind that a later minor version added; its fields are kept as they came."""

    model_config = ConfigDict(extra="allow", frozen=True)


Payload: TypeAlias = (
    RollStart
    | RollEnd
    | DefectPayload
    | CoverageGap
    | StopRequest
    | StopAck
    | EngineActivated
    | Status
    | Command
    | OtherPayload
)
