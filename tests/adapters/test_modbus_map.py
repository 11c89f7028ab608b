"""The table, its coding against `struct`, and what is printed of it."""

from __future__ import annotations

import csv
import json
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.adapters.modbus_codec import Coding, NoTextError, encode_all, unknown
from glass_edge.adapters.modbus_codes import FAULT_CODES, OTHER, STATE_CODES
from glass_edge.adapters.modbus_image import AdapterValues, image_values
from glass_edge.adapters.modbus_map import (
    BY_NAME,
    FIRST_WRITABLE,
    FLAGS,
    READ_ONLY,
    READ_ONLY_SIZE,
    REGISTERS,
    WRITABLE,
    Register,
    RegisterType,
    writable_blocks,
)
from glass_edge.adapters.modbus_reference import map_text
from glass_edge.adapters.modbus_state import first_state
from glass_edge.calibration.fit_check import Alarm
from glass_edge.cli.main import run
from glass_edge.events.payloads import StationState

ROOT = Path(__file__).resolve().parents[2]
FORMATS = {RegisterType.U16: "H", RegisterType.BITS: "H", RegisterType.U32: "I", RegisterType.I32: "i"}
NUMBERS = [one for one in REGISTERS if one.type is not RegisterType.TEXT]
TEXTS = [one for one in REGISTERS if one.type is RegisterType.TEXT]
CODINGS = [
    Coding(word, text, encoding)
    for word in ("big", "little")
    for text in ("high_first", "low_first")
    for encoding in ("utf-8", "latin-1")
]


def test_no_value_overlaps_another_and_names_are_unique() -> None:
    taken = [address for one in REGISTERS for address in range(one.address, one.end)]
    assert len(taken) == len(set(taken))
    assert len(BY_NAME) == len(REGISTERS)
    assert max(one.end for one in READ_ONLY) == READ_ONLY_SIZE <= FIRST_WRITABLE


def test_the_addresses_of_map_version_1_stay() -> None:
    # a controller's program has these numbers in it: a change of one is a new version of the map
    fixed = {
        "map_version": 0, "heartbeat": 1, "flags": 2, "state": 3, "event_number": 8, "stop_number": 10, "roll_m": 24,
        "defects": 28, "last_defect_event": 42, "alarms_per_100m": 58, "ack_number": 70, "roll_done": 76,
        "roll_id": 132, "recipe_message": 636, "stop_enable": 1000, "accept_stop": 1001, "refuse_stop": 1002,
        "roll_trigger": 1020, "recipe_trigger": 1100, "new_version": 1165,
    }  # fmt: skip
    assert {name: BY_NAME[name].address for name in fixed} == fixed
    assert [name for name, _ in FLAGS[:6]] == [
        "live", "station_heard", "is_simulated", "roll_open", "stop_requested", "ack_overdue",
    ]  # fmt: skip


def test_all_live_numbers_are_had_with_one_request_and_a_command_is_given_with_one() -> None:
    assert max(one.end for one in READ_ONLY if one.type is not RegisterType.TEXT) <= 125
    assert [len(block) for block in writable_blocks()] == [5, 65, 97]
    assert max(map(len, writable_blocks())) <= 123


def number_of(coding: Coding, one: Register, words: tuple[int, ...]) -> int:
    ordered = words if coding.word_order == "big" else words[::-1]
    (number,) = struct.unpack(f">{FORMATS[one.type]}", struct.pack(f">{len(words)}H", *ordered))
    return int(number)


@given(one=st.sampled_from(NUMBERS), coding=st.sampled_from(CODINGS), value=st.floats(-1e12, 1e12))
def test_a_number_lies_as_struct_says_and_is_never_wrapped(one: Register, coding: Coding, value: float) -> None:
    words = coding.encode(one, value)
    raw = number_of(coding, one, words)
    size = 16 * one.size
    least, most = (-(1 << size - 1), (1 << size - 1) - 1) if one.type is RegisterType.I32 else (0, (1 << size) - 1)
    if one.may_be_unknown and one.type is RegisterType.I32:
        least += 1
    elif one.may_be_unknown:
        most -= 1
    assert raw == min(most, max(least, round(value * one.scale)))
    read = coding.decode(one, words)
    assert isinstance(read, int | float)
    if least <= value * one.scale <= most:
        assert abs(read - value) <= 0.5 / one.scale + 1e-9 * abs(value)


@given(one=st.sampled_from(NUMBERS), coding=st.sampled_from(CODINGS))
def test_what_is_not_known_is_told_from_every_number(one: Register, coding: Coding) -> None:
    words = coding.encode(one, None)
    if one.may_be_unknown:
        assert number_of(coding, one, words) == unknown(one)
        assert coding.decode(one, words) is None
    else:
        assert set(words) == {0}


@given(one=st.sampled_from(TEXTS), coding=st.sampled_from(CODINGS), text=st.text(max_size=200))
def test_a_text_comes_back_as_far_as_it_fits(one: Register, coding: Coding, text: str) -> None:
    words = coding.encode(one, text)
    assert len(words) == one.size
    data = b"".join(struct.pack(">H" if coding.text_order == "high_first" else "<H", word) for word in words)
    said = text.replace("\0", "?").encode(coding.text_encoding, "replace").decode(coding.text_encoding)
    read = coding.decode(one, words)
    assert isinstance(read, str)
    assert data.rstrip(b"\0").decode(coding.text_encoding) == read  # no half character at the cut
    assert said.startswith(read)
    next_size = len(said[: len(read) + 1].encode(coding.text_encoding))
    assert read == said or next_size > 2 * one.size


def test_bytes_that_are_no_text_are_refused() -> None:
    one = BY_NAME["new_roll_id"]
    assert Coding(text_encoding="latin-1").decode(one, (0xFF41,) + (0,) * 63) == "ÿA"
    with pytest.raises(NoTextError, match="utf-8"):
        Coding().decode(one, (0xFF41,) + (0,) * 63)


def test_a_text_lies_high_byte_first_unless_it_is_set_otherwise() -> None:
    assert Coding().encode(BY_NAME["roll_id"], "AB")[0] == 0x4142
    assert Coding(text_order="low_first").encode(BY_NAME["roll_id"], "AB")[0] == 0x4241


@given(st.dictionaries(st.sampled_from([one.name for one in NUMBERS if one in READ_ONLY]), st.integers(0, 2**16)))
def test_a_block_is_the_sum_of_its_values(values: dict[str, int]) -> None:
    coding = Coding()
    words = encode_all(coding, READ_ONLY, values, READ_ONLY_SIZE)
    expected = [0] * READ_ONLY_SIZE
    for one in READ_ONLY:
        for offset, word in enumerate(coding.encode(one, values.get(one.name))):
            expected[one.address + offset] = word
    assert list(words) == expected


def test_every_value_of_the_image_is_in_the_map_and_nothing_is_known_before_the_station_is() -> None:
    own = AdapterValues(
        heartbeat=0,
        is_live=False,
        is_heard=False,
        needs_person=False,
        state=first_state(),
        stop_number=0,
        stop_age_s=0.0,
        is_overdue=False,
        is_stop_enabled=False,
    )
    values = image_values(None, own)
    assert set(values) <= {one.name for one in READ_ONLY}
    assert (values["map_version"], values["flags"]) == (1, 0)


def test_every_state_has_its_number_of_opc_40100() -> None:
    assert set(STATE_CODES) == set(StationState)
    assert STATE_CODES["ContinuousExecution"] == 8


def test_every_fault_of_the_reference_has_a_number_of_its_own() -> None:
    page = (ROOT / "docs/reference/events.md").read_text(encoding="utf-8")
    table = page.partition("| `fault_code` |")[2].partition("\n\n")[0]
    told = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    names = {name for name in told if not re.search(r"^_|_$|^misfit", name)}
    assert len(names) > 15
    names |= {f"misfit_{alarm}{over}" for alarm in Alarm for over in ("", "_over")}
    assert names <= set(FAULT_CODES), "give the new ones numbers in modbus_codes, and write the reference page anew"
    assert len(set(FAULT_CODES.values()) | {OTHER}) == len(FAULT_CODES) + 1


def test_the_page_is_what_the_table_says() -> None:
    page = (ROOT / "docs/reference/modbus.md").read_text(encoding="utf-8")
    assert page == map_text("markdown"), "run: python -m glass_edge.adapters.modbus_reference docs/reference/modbus.md"


def test_the_printed_maps_agree(capsys: pytest.CaptureFixture[str]) -> None:
    printed = {}
    for kind in ("csv", "json", "markdown"):
        assert run(["adapter", "modbus", "--print-map", kind]) == 0
        printed[kind] = capsys.readouterr().out
    rows = list(csv.DictReader(printed["csv"].splitlines()))
    registers = json.loads(printed["json"])["registers"]
    assert [row["name"] for row in rows] == [one["name"] for one in registers] == [one.name for one in REGISTERS]
    for row, one in zip(rows, REGISTERS, strict=True):
        assert (int(row["address"]), int(row["registers"])) == (one.address, one.size)
        assert int(row["holding_number"]) == 400001 + one.address
        assert (row["access"] == "read-write") == (one in WRITABLE) == (row["input_number"] == "")
        assert f"| {one.address} | {400001 + one.address} | `{one.name}` |" in printed["markdown"]


def test_without_a_file_it_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adapter", "modbus"]) == 2
    assert "--config" in capsys.readouterr().err
