"""The schema of today against those of every earlier minor version."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from schema_differ import differences

from glass_edge.events.json_schema import event_schema
from glass_edge.events.parsing import parse_event
from glass_edge.events.schema import MAJOR_VERSION, MINOR_VERSION, SCHEMA_VERSION

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
KEPT = REFERENCE / "schemas"
EARLIER = [f"{MAJOR_VERSION}.{minor}" for minor in range(MINOR_VERSION)]
HAVE = [path.name.removeprefix("events-").removesuffix(".schema.json") for path in KEPT.glob("*.schema.json")]
_HOW = "keep the schema of a version, and its examples, in docs/reference/schemas before the version is raised"


def kept(version: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((KEPT / f"events-{version}.schema.json").read_text(encoding="utf-8"))
    return schema


def examples(version: str) -> list[str]:
    return (KEPT / f"events-{version}.examples.jsonl").read_text(encoding="utf-8").splitlines()


def test_the_schema_of_every_earlier_version_is_kept() -> None:
    assert [version for version in EARLIER if version not in HAVE] == [], _HOW
    assert all(kept(version)["$id"].endswith(f":{version}") for version in HAVE)


@pytest.mark.parametrize("version", HAVE)
def test_the_present_schema_may_follow(version: str) -> None:
    assert differences(kept(version), event_schema()) == []
    if version == SCHEMA_VERSION:
        assert differences(event_schema(), kept(version)) == [], f"raise MINOR_VERSION, this one is out; {_HOW}"


@pytest.mark.parametrize("version", HAVE)
def test_documents_of_a_version_are_still_read(version: str) -> None:
    documents = examples(version)
    kinds = [branch["properties"]["kind"]["const"] for branch in kept(version)["oneOf"]]
    assert [json.loads(text)["kind"] for text in documents] == kinds
    for text in documents:
        document = json.loads(text)
        assert document["schema_version"] == version
        written = json.loads(parse_event(text).to_json())
        shared = {name: value for name, value in written["payload"].items() if name in document["payload"]}
        assert written | {"payload": shared} == document  # nothing was lost or changed on the way


@pytest.mark.parametrize("version", HAVE)
def test_a_reader_of_an_earlier_version_takes_what_is_written_today(version: str) -> None:
    """By another implementation: the examples of the reference against an earlier schema, of the kinds it knows."""
    text = (REFERENCE / "events.md").read_text(encoding="utf-8")
    documents = [json.loads(found) for found in re.findall(r"^```json event\n(.*?)\n```$", text, re.MULTILINE)]
    kinds = {branch["properties"]["kind"]["const"] for branch in kept(version)["oneOf"]}
    known = [document for document in documents if document["kind"] in kinds]
    assert {document["kind"] for document in known} == kinds
    for document in known:
        jsonschema.Draft202012Validator(kept(version)).validate(document)


def _status(schema: dict[str, Any]) -> dict[str, Any]:
    definition: dict[str, Any] = schema["$defs"]["Status"]
    return definition


def _add_optional(schema: dict[str, Any]) -> None:
    _status(schema)["properties"]["loom_speed_hz"] = {"type": "number"}
    schema["properties"]["plant"] = {"type": "string"}


def _add_kind(schema: dict[str, Any]) -> None:
    schema["$defs"]["Heard"] = {"type": "object", "properties": {"by": {"type": "string"}}, "required": ["by"]}
    branch = {"properties": {"kind": {"const": "heard"}, "payload": {"$ref": "#/$defs/Heard"}}}
    schema["oneOf"].insert(0, branch)


def _other_words(schema: dict[str, Any]) -> None:
    _status(schema)["description"] = "said otherwise"
    _status(schema)["properties"]["state"]["title"] = "said otherwise"
    schema["$defs"]["StationState"]["enum"].reverse()


@pytest.mark.parametrize("change", [_add_optional, _add_kind, _other_words])
def test_what_a_minor_version_may_do(change: Callable[[dict[str, Any]], None]) -> None:
    later = kept("1.1")
    change(later)
    assert later != kept("1.1")
    assert differences(kept("1.1"), later) == []


def _new_required(schema: dict[str, Any]) -> None:
    _add_optional(schema)
    _status(schema)["required"].append("loom_speed_hz")


def _changed(name: str, node: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    def change(schema: dict[str, Any]) -> None:
        _status(schema)["properties"][name] = node

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda schema: _status(schema)["properties"].pop("roll_m"), "status/payload/roll_m: removed key"),
        (lambda schema: schema["properties"].pop("seq"), "/seq: removed key"),
        (lambda schema: schema["oneOf"].pop(), "status: removed kind"),
        (_changed("roll_m", {"type": "string"}), "status/payload/roll_m/type: 'number' became 'string'"),
        (_changed("roll_m", {"default": 0.0, "minimum": 1, "type": "number"}), "status/payload/roll_m/minimum"),
        (_changed("fault_code", {"type": "string"}), "status/payload/fault_code/anyOf"),
        (_new_required, "status/payload/loom_speed_hz: new required key"),
        (lambda schema: _status(schema)["required"].append("roll_m"), "status/payload/roll_m: new required key"),
        (lambda schema: _status(schema)["required"].clear(), "status/payload/state: no longer required"),
        (lambda schema: schema["$defs"]["StationState"]["enum"].pop(), "status/payload/state/enum"),
        (lambda schema: schema["$defs"]["GapReason"]["enum"].append("x"), "coverage.gap/payload/reason/enum"),
    ],
)
def test_what_a_minor_version_may_not_do(change: Callable[[dict[str, Any]], None], told: str) -> None:
    later = kept("1.1")
    change(later)
    found = differences(kept("1.1"), later)
    assert any(text.startswith(told) for text in found), found


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - any JSON value
    """Every value of the schema that means something, words left out."""
    words = ("$id", "$schema", "title", "description")
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        is_word = key in words and path[-1:] != ("properties",)
        if is_word:
            continue
        if isinstance(value, dict | list) and value:
            yield from _places(value, (*path, key))
        yield (*path, key)


def test_no_change_of_any_value_of_the_schema_goes_unnoticed() -> None:
    """Each value of the published schema in turn is taken away, and each that is no list or object is replaced."""
    earlier = kept("1.1")
    places = list(_places(earlier))
    assert len(places) > 500
    for path in places:
        for replacement in (None, "other"):
            later = copy.deepcopy(earlier)
            parent: Any = later
            for step in path[:-1]:
                parent = parent[step]
            if replacement is None:
                del parent[path[-1]]
            elif not isinstance(parent[path[-1]], dict | list):
                parent[path[-1]] = replacement
            else:
                continue
            try:
                found = differences(earlier, later)
            except (KeyError, AttributeError, TypeError):
                continue  # no longer a schema of events at all
            assert found, path
