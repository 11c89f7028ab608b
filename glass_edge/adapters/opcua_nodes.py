"""The project's own nodes in the address space of the OPC UA server: one table, for the server, its page and its tests.

Promises: a path in this table is the string NodeId of its node for ever; a value that the station does not tell is
None, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from glass_edge.adapters.station_view import StationView
from glass_edge.config.events import Role

NAMESPACE = "urn:glass-edge:ua"
VISION_NAMESPACE = "http://opcfoundation.org/UA/MachineVision"
ROOT = "VisionSystem"
STATION = f"{ROOT}.Station"

Plain: TypeAlias = str | int | float | bool | datetime


class Kind(StrEnum):
    """Built-in data types of OPC UA that are used."""

    BOOLEAN = "Boolean"
    INT32 = "Int32"
    UINT32 = "UInt32"
    INT64 = "Int64"
    DOUBLE = "Double"
    STRING = "String"
    TIME = "DateTime"


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that shows something of the station.

    Attributes:
        name: path below `STATION`, dots between the parts.
        kind: its data type.
        text: what it holds, with the unit.
        read: its value in a view; None when the station does not tell it.
    """

    name: str
    kind: Kind
    text: str
    read: Callable[[StationView], Plain | None]

    @property
    def path(self) -> str:
        """Its string NodeId."""
        return f"{STATION}.{self.name}"


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a method, or a field of an event."""

    name: str
    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the project's own.

    Attributes:
        name: name below `STATION`.
        inputs: what it takes.
        role: the least role that may call it.
        text: what it does.
    """

    name: str
    inputs: tuple[Argument, ...]
    role: Role
    text: str

    @property
    def path(self) -> str:
        """Its string NodeId."""
        return f"{STATION}.{self.name}"


@dataclass(frozen=True, slots=True)
class EventType:
    """An event type of the project's own; its name is its string NodeId."""

    name: str
    fields: tuple[Argument, ...]
    text: str


def _status(name: str) -> Callable[[StationView], Plain | None]:
    return lambda view: getattr(view.status, name, None)


def _figure(name: str) -> Callable[[StationView], Plain | None]:
    return lambda view: getattr(view.figures, name, None)


def _roll(name: str) -> Callable[[StationView], Plain | None]:
    return lambda view: getattr(view.roll, name, None)


def _defect(name: str) -> Callable[[StationView], Plain | None]:
    return lambda view: getattr(view.last_defect, name, None)


def _engine(name: str) -> Callable[[StationView], Plain | None]:
    return lambda view: getattr(view.engine, name, None)


def _stop(name: str, without: Plain | None = None) -> Callable[[StationView], Plain | None]:
    def read(view: StationView) -> Plain | None:
        value: Plain | None = None if view.stop is None else getattr(view.stop.request, name)
        return without if value is None else value

    return read


def _recipe(view: StationView) -> str | None:
    return None if view.engine is None else f"{view.engine.style}/{view.engine.version}"


def _fault(view: StationView) -> tuple[str | None, str | None]:
    if view.status is None:
        return None, None
    return view.status.fault_code or "", view.status.message or ""


CURRENT = Variable(
    "IsCurrent",
    Kind.BOOLEAN,
    "the station is heard and all its events are shown; always of good quality",
    lambda _: None,
)

VARIABLES: tuple[Variable, ...] = (
    CURRENT,
    Variable("Name", Kind.STRING, "name of the station", lambda view: view.station),
    Variable("State", Kind.STRING, "state of the station, as in the state machine", _status("state")),
    Variable("FaultCode", Kind.STRING, "short stable name of the fault; empty: none", lambda v: _fault(v)[0]),
    Variable("FaultMessage", Kind.STRING, "the fault for a person, with what to do", lambda v: _fault(v)[1]),
    Variable("IsSimulated", Kind.BOOLEAN, "a replay or a simulated camera", lambda view: view.is_simulated),
    Variable("IsBypassed", Kind.BOOLEAN, "true: no stop is asked for", lambda view: view.is_bypassed),
    Variable("SpeedMetresPerMinute", Kind.DOUBLE, "speed of the cloth, m/min", _figure("web_m_per_min")),
    Variable("LineRateHertz", Kind.DOUBLE, "camera lines a second while the web runs", _figure("line_rate_hz")),
    Variable(
        "ExposureHeadroom", Kind.DOUBLE, "part of a line's time that is free, 0 to 1", _figure("exposure_headroom")
    ),
    Variable("ClothWidthMillimetres", Kind.DOUBLE, "live width of the cloth, mm", _figure("cloth_width_mm")),
    Variable("AlarmsPer100Metres", Kind.DOUBLE, "defects in 100 m since the engine came", _figure("alarms_per_100m")),
    Variable("AlarmsPer100MetresLow", Kind.DOUBLE, "lower end of its 95 % interval", _figure("alarms_low_per_100m")),
    Variable("AlarmsPer100MetresHigh", Kind.DOUBLE, "upper end of its 95 % interval", _figure("alarms_high_per_100m")),
    Variable("PromisedPer100Metres", Kind.DOUBLE, "false alarms promised at most", _figure("promised_per_100m")),
    Variable("EventEpoch", Kind.STRING, "journal of the last event shown", lambda view: view.epoch),
    Variable("EventNumber", Kind.INT64, "number of that event", lambda view: view.seq),
    Variable("Roll.RollId", Kind.STRING, "the open roll, or the last", _roll("roll_id")),
    Variable("Roll.Style", Kind.STRING, "its fabric style", _roll("style")),
    Variable("Roll.IsOpen", Kind.BOOLEAN, "it is being woven", _roll("is_open")),
    Variable("Roll.StartedUtc", Kind.TIME, "when it began", _roll("started_utc")),
    Variable("Roll.WovenMetres", Kind.DOUBLE, "woven so far, m; exact at its end", _roll("woven_m")),
    Variable("Roll.MissedMetres", Kind.DOUBLE, "not inspected, m", _roll("missed_m")),
    Variable("Roll.Defects", Kind.UINT32, "defects found", _roll("defects")),
    Variable("Roll.Gaps", Kind.UINT32, "stretches that were not inspected", _roll("gaps")),
    Variable("Roll.Points", Kind.UINT32, "points of its grade; told at its end", _roll("points")),
    Variable("Roll.IsFirstQuality", Kind.BOOLEAN, "it keeps the limits; told at its end", _roll("is_first_quality")),
    Variable("LastDefect.DefectId", Kind.UINT32, "defect told of last, on this roll", _defect("defect_id")),
    Variable("LastDefect.Shape", Kind.STRING, "its geometric class", _defect("shape")),
    Variable("LastDefect.AlongMillimetres", Kind.DOUBLE, "start along the roll, mm", _defect("along_mm")),
    Variable("LastDefect.AcrossMillimetres", Kind.DOUBLE, "left edge from the left selvedge, mm", _defect("across_mm")),
    Variable("LastDefect.WidthMillimetres", Kind.DOUBLE, "extent across the web, mm", _defect("width_mm")),
    Variable("LastDefect.LengthMillimetres", Kind.DOUBLE, "extent along the web, mm", _defect("length_mm")),
    Variable("LastDefect.PeakScore", Kind.DOUBLE, "0 to 1", _defect("peak_score")),
    Variable("LastDefect.IsHole", Kind.BOOLEAN, "it shows what lies behind the cloth", _defect("is_hole")),
    Variable("LastDefect.IsRunning", Kind.BOOLEAN, "a line along the web that runs on", _defect("is_running")),
    Variable("Engine.Style", Kind.STRING, "style of the engine that decides", _engine("style")),
    Variable("Engine.Version", Kind.STRING, "version of its bundle", _engine("version")),
    Variable("Engine.ModelSha256", Kind.STRING, "SHA-256 of its model, hex", _engine("model_sha256")),
    Variable("Engine.Runtime", Kind.STRING, "runtime and its version", _engine("runtime")),
    Variable("Engine.Precision", Kind.STRING, "precision of its numbers", _engine("precision")),
    Variable("Engine.ThresholdLogit", Kind.DOUBLE, "a defect is at or above it", _engine("threshold_logit")),
    Variable("ActiveRecipe", Kind.STRING, "internal id of the recipe in use: style/version", _recipe),
    Variable("Stop.IsPending", Kind.BOOLEAN, "a stop request waits for its answer", lambda view: view.stop is not None),
    Variable("Stop.RequestId", Kind.STRING, "its id, for AcknowledgeStop", _stop("request_id", "")),
    Variable("Stop.Reason", Kind.STRING, "why the loom is asked to stop", _stop("reason", "")),
    Variable("Stop.Cause", Kind.STRING, "rule that asks", _stop("cause", "")),
    Variable("Stop.RequestedUtc", Kind.TIME, "since when", lambda view: view.stop.stamp_utc if view.stop else None),
    Variable("Stop.AlongMillimetres", Kind.DOUBLE, "where along the roll, mm", _stop("along_mm")),
    Variable("Stop.AcrossMillimetres", Kind.DOUBLE, "where across, mm", _stop("across_mm")),
)


OUTPUTS = (
    Argument("Error", Kind.INT32, "0: done; -1: the station refused; -2: no answer; -3: no such argument"),
    Argument("Message", Kind.STRING, "the reason, for a person"),
)

METHODS: tuple[Method, ...] = (
    Method(
        "ChangeRoll",
        (Argument("RollId", Kind.STRING, "name of the new roll, 1 to 128 characters"),),
        Role.CONTROLLER,
        "begin a new roll with the cloth that comes from now on",
    ),
    Method(
        "SelectRecipe",
        (
            Argument("Style", Kind.STRING, "fabric style"),
            Argument("Version", Kind.STRING, "version of its engine; empty: the newest that the station may use"),
        ),
        Role.CONTROLLER,
        "prepare the engine of a style; RecipePreparedEventType tells when it decides",
    ),
    Method(
        "AcknowledgeStop",
        (
            Argument("RequestId", Kind.STRING, "of the stop request"),
            Argument("Accepted", Kind.BOOLEAN, "true: the loom is being stopped"),
            Argument("Detail", Kind.STRING, "for a person"),
        ),
        Role.CONTROLLER,
        "answer the stop request that waits",
    ),
    Method(
        "SetBypass",
        (
            Argument("IsOn", Kind.BOOLEAN, "true: no stops"),
            Argument("Reason", Kind.STRING, "why, for the journal"),
        ),
        Role.CONTROLLER,
        "ask for no stops, or for stops again",
    ),
)

VISION_METHODS: Mapping[str, Role] = {
    f"{ROOT}.RecipeManagement.PrepareRecipe": Role.CONTROLLER,
    f"{ROOT}.RecipeManagement.GetRecipeListFiltered": Role.OBSERVER,
    f"{ROOT}.ResultManagement.GetResultById": Role.OBSERVER,
    f"{ROOT}.ResultManagement.GetResultComponentsById": Role.OBSERVER,
    f"{ROOT}.ResultManagement.GetResultListFiltered": Role.OBSERVER,
    f"{ROOT}.ResultManagement.ReleaseResultHandle": Role.OBSERVER,
}
"""Methods of OPC 40100-1 that are there, and the least role that may call them; each recipe has Prepare besides."""

_NO_START = "the station inspects by itself while cloth comes; ChangeRoll begins a roll"
NOT_EXECUTABLE: Mapping[str, str] = {
    f"{ROOT}.VisionStateMachine.Halt": "the station is stopped by its operator or service manager",
    f"{ROOT}.VisionStateMachine.Reset": "the station recovers by itself, or is started anew by its service manager",
    f"{ROOT}.VisionStateMachine.AutomaticModeStateMachine.StartSingleJob": _NO_START,
    f"{ROOT}.VisionStateMachine.AutomaticModeStateMachine.StartContinuous": _NO_START,
    f"{ROOT}.VisionStateMachine.AutomaticModeStateMachine.Stop": "the station inspects as long as cloth comes",
    f"{ROOT}.VisionStateMachine.AutomaticModeStateMachine.Abort": "the station inspects as long as cloth comes",
    f"{ROOT}.RecipeManagement.UnprepareRecipe": "an engine is in use until another is prepared",
}
"""Methods that OPC 40100-1 asks for and a station by the loom has no use for, and why; calling one answers
BadNotExecutable."""

EVENT_TYPES: tuple[EventType, ...] = (
    EventType(
        "DefectEventType",
        (
            Argument("Phase", Kind.STRING, "new or end"),
            Argument("DefectId", Kind.UINT32, "the same in both phases"),
            Argument("RollId", Kind.STRING, "its roll"),
            Argument("Style", Kind.STRING, "style of the roll"),
            Argument("Shape", Kind.STRING, "geometric class"),
            Argument("AlongMillimetres", Kind.DOUBLE, "start along the roll, mm"),
            Argument("AcrossMillimetres", Kind.DOUBLE, "left edge from the left selvedge, mm"),
            Argument("WidthMillimetres", Kind.DOUBLE, "extent across the web, mm"),
            Argument("LengthMillimetres", Kind.DOUBLE, "extent along the web, mm"),
            Argument("AreaSquareMillimetres", Kind.DOUBLE, "area above threshold, mm2"),
            Argument("PeakScore", Kind.DOUBLE, "0 to 1"),
            Argument("IsHole", Kind.BOOLEAN, "it shows what lies behind the cloth"),
            Argument("IsRunning", Kind.BOOLEAN, "a line along the web that runs on"),
            Argument("MergedInto", Kind.UINT32, "at its end: the older defect it grew together with; 0: none"),
        ),
        "a defect began, or ended",
    ),
    EventType(
        "GapEventType",
        (
            Argument("RollId", Kind.STRING, "its roll; empty: none was open"),
            Argument("AlongMillimetres", Kind.DOUBLE, "start along the roll, mm"),
            Argument("LengthMetres", Kind.DOUBLE, "length along the roll, m"),
            Argument("Reason", Kind.STRING, "as in the events of the station"),
        ),
        "cloth passed and was not inspected",
    ),
    EventType(
        "StopRequestEventType",
        (
            Argument("RequestId", Kind.STRING, "for AcknowledgeStop"),
            Argument("Cause", Kind.STRING, "rule that asks; empty: another cause"),
            Argument("DefectId", Kind.UINT32, "defect that caused it; 0: none"),
        ),
        "the loom is asked to stop",
    ),
    EventType(
        "StopAnswerEventType",
        (
            Argument("RequestId", Kind.STRING, "of the stop request"),
            Argument("Accepted", Kind.BOOLEAN, "true: the loom is being stopped"),
            Argument("AnsweredBy", Kind.STRING, "who answered"),
        ),
        "a stop request was answered",
    ),
)
