"""The register map for people and for the engineering tools of controllers.

Promises: all of it comes from the table of `modbus_map`; the page in the documentation is what this module writes:
`python -m glass_edge.adapters.modbus_reference docs/reference/modbus.md`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from glass_edge.adapters.modbus_codec import unknown
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
from glass_edge.adapters.modbus_map import (
    BY_NAME,
    FIRST_WRITABLE,
    FLAGS,
    MAP_VERSION,
    READ_ONLY,
    READ_ONLY_SIZE,
    REGISTERS,
    WRITABLE,
    Register,
    RegisterType,
)
from glass_edge.files import csv_bytes, write_bytes

_INPUT_BASE, _HOLDING_BASE = 300001, 400001
_IEC_TYPES = {
    RegisterType.U16: "UINT",
    RegisterType.U32: "UDINT",
    RegisterType.I32: "DINT",
    RegisterType.BITS: "WORD",
}
_CSV_HEAD = (
    *("name", "address", "registers", "holding_number", "input_number", "type", "iec_type", "access", "unit", "scale"),
    *("not_known", "values", "description"),
)


def map_text(kind: str) -> str:
    """The map as `csv`, `markdown` or `json`."""
    if kind == "csv":
        return csv_bytes([_CSV_HEAD, *(_csv_row(one) for one in REGISTERS)]).decode()
    if kind == "json":
        document = {"map_version": MAP_VERSION, "registers": [_json_row(one) for one in REGISTERS]}
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return _page()


def _csv_row(one: Register) -> Sequence[object]:
    row = _json_row(one)
    values = "; ".join(f"{number} {meaning}" for number, meaning in one.codes.items())
    values += "; ".join(f"bit {bit} {name}" for bit, (name, _) in enumerate(one.bits))
    cells = {**row, "values": values, "access": "read-write" if one.is_writable else "read-only"}
    return ["" if cells[name] is None else cells[name] for name in _CSV_HEAD]


def _json_row(one: Register) -> dict[str, object]:
    return {
        "name": one.name,
        "address": one.address,
        "registers": one.size,
        "holding_number": _HOLDING_BASE + one.address,
        "input_number": None if one.is_writable else _INPUT_BASE + one.address,
        "type": one.type.value,
        "iec_type": _IEC_TYPES.get(one.type, f"STRING({2 * one.size})"),
        "is_writable": one.is_writable,
        "unit": one.unit,
        "scale": one.scale,
        "not_known": unknown(one) if one.may_be_unknown else None,
        "values": {str(number): meaning for number, meaning in one.codes.items()},
        "bits": [{"bit": bit, "name": name, "meaning": text} for bit, (name, text) in enumerate(one.bits)],
        "description": one.description,
    }


def _page() -> str:
    parts = [
        _INTRODUCTION,
        "## Read-only registers\n",
        _table(READ_ONLY),
        "### Bits of `flags`\n",
        _lines(("bit", "name", "set means"), ((bit, f"`{name}`", text) for bit, (name, text) in enumerate(FLAGS))),
        "### Bits of `last_defect_flags`\n",
        _lines(
            ("bit", "name", "set means"),
            ((bit, f"`{name}`", text) for bit, (name, text) in enumerate(BY_NAME["last_defect_flags"].bits)),
        ),
        "## Registers that the controller writes\n",
        _table(WRITABLE),
        "## Numbers\n",
        _codes("`state`, the StateNumbers of OPC 40100-1", {0: "not known", **meanings(STATE_CODES)}),
        _codes("`fault`, `last_fault`", {0: "none", **meanings(FAULT_CODES), OTHER: "another; see `fault_name`"}),
        _codes("`stop_cause`", {0: "no request waits", **meanings(CAUSE_CODES), OTHER: "another; see `stop_reason`"}),
        _codes("`last_defect_shape`", {0: "none", **meanings(SHAPE_CODES)}),
        _codes("`ack_result`, `bypass_result`, `roll_result`, `recipe_result`", RESULT_MEANINGS),
        _codes("`ack_reason`, `bypass_reason`, `roll_reason`, `recipe_reason`", REASON_MEANINGS),
    ]
    return "\n".join(parts)


_INTRODUCTION = f"""# Modbus registers

<!-- written by: python -m glass_edge.adapters.modbus_reference docs/reference/modbus.md -->

What `glass-edge adapter modbus` serves to controllers, map version {MAP_VERSION}. How to use it:
[connect a PLC](../how-to/connect-a-plc.md). `glass-edge adapter modbus --print-map csv` prints the same for engineering
tools, `json` for programs.

- Addresses count from 0, as in the request. Many tools count from 1: add one. `4xxxxx` is the holding register's number
  in that style; the input register's begins with 3.
- Read-only registers, 0 to {READ_ONLY_SIZE - 1}, are there as input registers (function 4) and, the same, as holding
  registers (function 3). Those that the controller writes, from {FIRST_WRITABLE} on, are holding registers (functions
  3, 6, 16, 22 and 23). Function 43/14 names the device.
- All that one request reads is of one moment, and all that one request writes takes effect together. A request reads
  125 registers at most.
- Numbers of 32 bits have the high word first; `word_order = "little"` turns them round.
- Texts are UTF-8, two bytes a register, the first in the high byte, filled with zeros, and cut where they are too long.
  `text_order` and `text_encoding` change that.
- A value is the registers' number divided by the scale. What is too large is shown as the largest number. Where a
  number for "not known" is given, it says that there is no value.
- Registers between those listed, below {READ_ONLY_SIZE}, read 0. Exception 02 answers what is beyond, and a write to a
  read-only register; 03 a value that a register does not take, or a malformed request; 01 another function; 0B another
  unit.
- Within a map version an address keeps its meaning; later programs may fill addresses that were free.
"""


def _table(registers: Iterable[Register]) -> str:
    head = ("address", "4xxxxx", "name", "type", "unit", "scale", "not known", "meaning")
    return _lines(head, (_row(one) for one in registers))


def _row(one: Register) -> Sequence[object]:
    kind = f"text, {one.size} registers" if one.type is RegisterType.TEXT else one.type.value
    not_known = f"0x{unknown(one) % (1 << 16 * one.size):X}" if one.may_be_unknown else ""
    return (
        one.address,
        _HOLDING_BASE + one.address,
        f"`{one.name}`",
        kind,
        one.unit,
        "" if one.scale == 1 else one.scale,
        not_known,
        one.description,
    )


def _codes(of: str, codes: Mapping[int, str]) -> str:
    return f"### {of}\n\n" + _lines(("number", "meaning"), sorted(codes.items()))


def _lines(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    write_bytes(Path(sys.argv[1]), map_text("markdown").encode())
