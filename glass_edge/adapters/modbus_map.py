"""The register map: where each value is, what it is, and who may write it.

Promises: this one table is what the server serves, what the codec codes and what the reference page shows; an address
keeps its meaning within a `MAP_VERSION`, and later values only take addresses that were free; no value overlaps
another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from glass_edge.adapters.modbus_codes import (
    CAUSE_CODES,
    FAULT_CODES,
    OTHER,
    REASON_MEANINGS,
    RESULT_MEANINGS,
    SHAPE_CODES,
    STATE_CODES,
    meanings,
)

MAP_VERSION = 1
FIRST_WRITABLE = 1000


class RegisterType(StrEnum):
    """How a value lies in its registers."""

    U16 = "u16"
    I32 = "i32"
    U32 = "u32"
    BITS = "bits"
    TEXT = "text"


_SIZES = {RegisterType.U16: 1, RegisterType.BITS: 1, RegisterType.U32: 2, RegisterType.I32: 2}


@dataclass(frozen=True, slots=True)
class Register:
    """One value of the map.

    Attributes:
        address: of its first register, from 0, as it is in the request.
        name: stable name.
        type: how it is coded.
        description: what it is.
        unit: unit of the value; empty: none.
        scale: the registers hold the value times this.
        text_size: registers of a text, two bytes each.
        most: greatest value that may be written; None: any.
        may_be_unknown: the greatest number of an unsigned type, or the least of a signed one, says "not known".
        bits: names of the bits from bit 0 on, with what they mean when set.
        codes: what the numbers mean.
    """

    address: int
    name: str
    type: RegisterType
    description: str
    unit: str = ""
    scale: int = 1
    text_size: int = 0
    most: int | None = None
    may_be_unknown: bool = False
    bits: tuple[tuple[str, str], ...] = ()
    codes: Mapping[int, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Registers it takes."""
        return self.text_size or _SIZES[self.type]

    @property
    def end(self) -> int:
        """Address after its last register."""
        return self.address + self.size

    @property
    def is_writable(self) -> bool:
        """The controller writes it; all others are the adapter's."""
        return self.address >= FIRST_WRITABLE


FLAGS: tuple[tuple[str, str], ...] = (
    ("live", "the registers show the present: the station is heard and no event of it is missing here"),
    ("station_heard", "the station was heard within the last 5 s"),
    ("is_simulated", "the cloth is a replay or simulated"),
    ("roll_open", "a roll is being woven; else the values of a roll are those of the last one"),
    ("stop_requested", "a stop request waits; `stop_number` is its number"),
    ("ack_overdue", "it has waited for the controller longer than `ack_timeout_s`"),
    ("stop_enabled", "`stop_enable` is on"),
    ("is_bypassed", "the station's stop rules are bypassed: it asks for no stop"),
    ("has_fault", "the station's last state names a fault; `fault` is its number"),
    ("needs_person", "the adapter needs a person: `glass-edge adapter status` and its log say for what"),
    ("is_commanding", "a command is being carried out"),
)

_T = RegisterType
_ACK = "of the answer to the stop request `ack_number`"


def _result(address: int, name: str, of: str) -> tuple[Register, Register]:
    return (
        Register(address, f"{name}_result", _T.U16, f"Result {of}.", codes=RESULT_MEANINGS),
        Register(address + 1, f"{name}_reason", _T.U16, f"Reason {of}.", codes=REASON_MEANINGS),
    )


def _command(address: int, name: str) -> tuple[Register, ...]:
    of = f"of the {name} command `{name}_done`"
    done = Register(address, f"{name}_done", _T.U16, f"The last `{name}_trigger` that was taken; 0: none.")
    return (done, *_result(address + 1, name, of))


def _text(address: int, name: str, size: int, description: str) -> Register:
    return Register(address, name, _T.TEXT, description, text_size=size)


def _mm(address: int, name: str, kind: RegisterType, description: str) -> Register:
    return Register(address, name, kind, description, unit="mm", scale=10, may_be_unknown=True)


def _rate(address: int, name: str, description: str) -> Register:
    return Register(address, name, _T.U32, description, unit="1/100 m", scale=100, may_be_unknown=True)


READ_ONLY: tuple[Register, ...] = (
    Register(0, "map_version", _T.U16, f"Version of this map: {MAP_VERSION}. Compare it before you trust the rest."),
    Register(1, "heartbeat", _T.U16, "Counts once a second while `live` is set, and stands still otherwise."),
    Register(2, "flags", _T.BITS, "The state in single bits.", bits=FLAGS),
    Register(3, "state", _T.U16, "State of the station, numbered as in OPC 40100-1.", codes=meanings(STATE_CODES)),
    Register(4, "fault", _T.U16, "Fault of the last state; 0: none.", codes=meanings({**FAULT_CODES, "other": OTHER})),
    Register(5, "journal_changes", _T.U16, "Counts the station's new journals; event numbers begin anew with each."),
    Register(6, "journal_id", _T.U32, "First 32 bits of the journal's epoch; 0: none known."),
    Register(8, "event_number", _T.U32, "Newest event that these values know of; the lower 32 bits of its `seq`."),
    Register(10, "stop_number", _T.U16, "Number of the stop request that waits, 1 to 65535 in turn; 0: none waits."),
    Register(
        11, "stop_cause", _T.U16, "Rule that asks; 0: none waits.", codes=meanings({**CAUSE_CODES, "other": OTHER})
    ),
    Register(12, "stop_age_s", _T.U32, "How long it has waited.", unit="s"),
    _mm(14, "stop_along_mm", _T.I32, "Where its cause is along the roll, from the roll's first line."),
    _mm(16, "stop_across_mm", _T.I32, "Where it is across, from the left selvedge."),
    Register(18, "stop_defect", _T.U32, "Defect that caused it; 0: none."),
    _mm(20, "stop_period_mm", _T.U32, "Spacing of a repeat."),
    Register(22, "stop_event", _T.U32, "Event of the request; 0: none waits."),
    Register(
        24, "roll_m", _T.U32, "Woven on the roll, as the station told last: once a minute and at its end.", "m", 100
    ),
    Register(26, "missed_m", _T.U32, "Of it not inspected.", "m", 100),
    Register(28, "defects", _T.U32, "Defects of the roll."),
    Register(30, "gaps", _T.U32, "Stretches of the roll that were not inspected."),
    Register(32, "points", _T.U32, "Points of the roll once it is graded.", may_be_unknown=True),
    Register(34, "first_quality", _T.U16, "1: the roll is first quality, 0: it is not.", may_be_unknown=True),
    Register(36, "roll_started", _T.U32, "When the roll began: another number is another roll.", "s since 1970, UTC"),
    Register(38, "web_m_per_min", _T.U32, "Speed of the cloth.", "m/min", 10, may_be_unknown=True),
    _mm(40, "cloth_width_mm", _T.U32, "Width of the cloth."),
    Register(42, "last_defect_event", _T.U32, "Event that told of a defect last; 0: none on this roll, as below."),
    Register(44, "last_defect", _T.U32, "Number of that defect."),
    Register(46, "last_defect_shape", _T.U16, "Its class; 0: none.", codes=meanings({**SHAPE_CODES, "other": OTHER})),
    Register(
        47,
        "last_defect_flags",
        _T.BITS,
        "What else it is.",
        bits=(
            ("is_running", "a line along the web, as long as the station calls running"),
            ("is_hole", "it shows what lies behind the cloth"),
            ("is_cut_mark", "the border of two rolls, no fault"),
        ),
    ),
    _mm(48, "last_defect_along_mm", _T.I32, "Its start along the roll."),
    _mm(50, "last_defect_across_mm", _T.I32, "Its left edge, from the left selvedge."),
    _mm(52, "last_defect_length_mm", _T.U32, "Its extent along the web."),
    _mm(54, "last_defect_width_mm", _T.U32, "Its extent across the web."),
    Register(56, "last_defect_peak", _T.U16, "Its largest score, 0 to 1.", scale=10000, may_be_unknown=True),
    _rate(58, "alarms_per_100m", "Defects in 100 m since the engine was activated, real ones too."),
    _rate(60, "alarms_low_per_100m", "Lower end of the 95 % interval of that rate."),
    _rate(62, "alarms_high_per_100m", "Upper end of it."),
    _rate(64, "promised_per_100m", "False alarms in 100 m of good cloth that the engine's threshold promises at most."),
    Register(66, "last_fault", _T.U16, "Fault told last, over or not; 0: none.", codes=meanings(FAULT_CODES)),
    Register(68, "last_fault_event", _T.U32, "Event that told of it."),
    Register(70, "ack_number", _T.U16, "Stop request that was answered last, by `stop_number`; 0: none."),
    *_result(71, "ack", _ACK),
    *_command(73, "bypass"),
    *_command(76, "roll"),
    *_command(79, "recipe"),
    _text(100, "station", 32, "Name of the station."),
    _text(132, "roll_id", 64, "Name of the roll."),
    _text(196, "style", 64, "Fabric style of the roll."),
    _text(260, "engine_style", 64, "Style of the engine that decides."),
    _text(324, "engine_version", 32, "Its version."),
    _text(356, "fault_name", 32, "Name of the fault told last."),
    _text(388, "fault_text", 64, "The same for a person."),
    _text(452, "stop_reason", 64, "Why a stop is asked for."),
    _text(516, "ack_message", 40, f"Words {_ACK}."),
    _text(556, "bypass_message", 40, "Words of the bypass command."),
    _text(596, "roll_message", 40, "Words of the roll command."),
    _text(636, "recipe_message", 40, "Words of the recipe command."),
)

_TRIGGER = "Another number than before, and not 0, gives the command; `{0}_done` follows. Kept over a restart."

WRITABLE: tuple[Register, ...] = (
    Register(1000, "stop_enable", _T.U16, "1: the controller answers stop requests. 0: it does not. Kept.", most=1),
    Register(1001, "accept_stop", _T.U16, "`stop_number` of the request that is accepted: the loom is being stopped."),
    Register(1002, "refuse_stop", _T.U16, "`stop_number` of the request that is refused. Goes before `accept_stop`."),
    Register(1003, "bypass_trigger", _T.U16, _TRIGGER.format("bypass")),
    Register(1004, "bypass_on", _T.U16, "What the bypass is to be: 1 on, 0 off.", most=1),
    Register(1020, "roll_trigger", _T.U16, _TRIGGER.format("roll")),
    _text(1021, "new_roll_id", 64, "Name of the roll that is to begin."),
    Register(1100, "recipe_trigger", _T.U16, _TRIGGER.format("recipe")),
    _text(1101, "new_style", 64, "Style that is to be inspected."),
    _text(1165, "new_version", 32, "Version of its engine; empty: the station's choice."),
)

REGISTERS: tuple[Register, ...] = READ_ONLY + WRITABLE
BY_NAME: Mapping[str, Register] = {one.name: one for one in REGISTERS}
READ_ONLY_SIZE = READ_ONLY[-1].end


def writable_blocks() -> tuple[range, ...]:
    """Addresses that may be written, in stretches without a gap."""
    blocks: list[range] = []
    for one in WRITABLE:
        if blocks and blocks[-1].stop == one.address:
            blocks[-1] = range(blocks[-1].start, one.end)
        else:
            blocks.append(range(one.address, one.end))
    return tuple(blocks)
