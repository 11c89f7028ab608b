"""The reference manual and the JSON Schema agree with the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

from glass_edge.config.events import Role
from glass_edge.events.json_schema import event_schema
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import GapReason, StationState
from glass_edge.events.schema import ENVELOPE_ORDER, PAYLOAD_TYPES, SCHEMA_VERSION, Event, Kind
from glass_edge.events.wire import Beacon, parse_beacon, parse_reply, parse_request
from glass_edge.fabric.defect import DefectShape

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
TEXT = (REFERENCE / "events.md").read_text(encoding="utf-8")


def examples(what: str) -> list[str]:
    return re.findall(rf"^```json {what}\n(.*?)\n```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_every_kind_has_a_section_with_an_example_as_the_station_writes_it() -> None:
    sections = TEXT.split("## Kinds")[1].split("\n## ")[0]
    assert re.findall(r"^### (\S+)$", sections, flags=re.MULTILINE) == [str(kind) for kind in Kind]
    events = [parse_event(text) for text in examples("event")]
    assert [event.kind for event in events] == list(Kind)
    for text, event in zip(examples("event"), events, strict=True):
        Event.model_validate(json.loads(text))  # strict: no key that the schema does not have
        assert event.to_json() == text
    assert sorted(event.seq for event in events) == list(range(1, len(events) + 1))
    assert len({event.epoch for event in events}) == 1


def test_the_examples_add_up() -> None:
    payloads = {document["kind"]: document["payload"] for document in map(json.loads, examples("event"))}
    first, last = payloads["roll.start"], payloads["roll.end"]
    assert last["end_line"] - first["first_line"] == last["lines_woven"]
    assert last["woven_m"] == last["lines_woven"] * first["mm_per_line"] / 1000
    px, line = first["mm_per_px"], first["mm_per_line"]
    for kind in ("defect.new", "defect.update", "defect.end"):
        box = payloads[kind]
        assert round((box["right_px"] - box["left_px"]) * px, 6) == box["width_mm"]
        assert round((box["end_line"] - box["first_line"]) * line, 6) == box["length_mm"]
        assert round((box["first_line"] - first["first_line"]) * line, 6) == box["along_mm"]
        assert round((box["left_px"] - first["left_px"]) * px, 6) == box["across_mm"]
    gap = payloads["coverage.gap"]
    assert round((gap["end_line"] - gap["first_line"]) * line / 1000, 6) == gap["length_m"]
    assert round((gap["first_line"] - first["first_line"]) * line, 6) == gap["along_mm"]


def test_the_other_examples_parse() -> None:
    assert [parse_request(text.encode()).request for text in examples("request")] == [
        "replay",
        "snapshot",
        "status",
        "roll",
        "recipe",
        "acknowledge",
        "bypass",
        "challenge",
        "verdict",
    ]
    replies = [parse_reply(text.encode()) for text in examples("reply")]
    assert [reply.reply for reply in replies] == [
        "replay",
        "snapshot",
        "status",
        "error",
        "roll",
        "recipe",
        "acknowledge",
        "bypass",
        "record",
        "record",
    ]
    for text, reply in zip(examples("reply"), replies, strict=True):
        assert json.loads(reply.model_dump_json()) == json.loads(text)
        type(reply).model_validate(json.loads(text))
    (beacon,) = examples("beacon")
    assert parse_beacon(beacon.encode()).model_dump_json() == beacon
    Beacon.model_validate_json(beacon)


def test_every_key_and_value_is_named() -> None:
    for name in ENVELOPE_ORDER:
        assert f"| `{name}` |" in TEXT
    for value in (*GapReason, *StationState, *DefectShape, *Role):
        assert f"`{value}`" in TEXT
    assert f"at present `{SCHEMA_VERSION}`" in TEXT


def test_the_json_schema_is_current() -> None:
    stored = json.loads((REFERENCE / "events.schema.json").read_text(encoding="utf-8"))
    assert stored == event_schema(), "run: python -m glass_edge.events.json_schema docs/reference/events.schema.json"


def test_the_json_schema_has_a_branch_a_kind_and_no_dangling_reference() -> None:
    schema = event_schema()
    kinds = {
        branch["properties"]["kind"]["const"]: branch["properties"]["payload"]["$ref"] for branch in schema["oneOf"]
    }
    assert set(kinds) == set(Kind)
    for kind, reference in kinds.items():
        definition = schema["$defs"][reference.removeprefix("#/$defs/")]
        assert set(definition["properties"]) == set(PAYLOAD_TYPES[Kind(kind)].model_fields)
    text = json.dumps(schema)
    for name in re.findall(r'"#/\$defs/([^"]+)"', text):
        assert name in schema["$defs"]
    assert "additionalProperties" not in text
