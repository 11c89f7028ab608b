"""The JSON Schema of an event, for subscribers in other languages.

Promises: it is generated from the models, so it cannot disagree with them; it admits keys of later minor versions, as a
reader has to. `python -m glass_edge.events.json_schema FILE` writes it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from glass_edge.events.payloads import Document
from glass_edge.events.schema import ENVELOPE_ORDER, PAYLOAD_TYPES, ROLL_KINDS, SCHEMA_VERSION, Event
from glass_edge.files import write_json

SCHEMA_ID = f"urn:glass-edge:event:{SCHEMA_VERSION}"


def event_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the documents this version writes: one branch a kind."""
    models: list[type[Document]] = [Event, *dict.fromkeys(PAYLOAD_TYPES.values())]
    _, shared = models_json_schema([(model, "serialization") for model in models], ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = shared["$defs"]
    envelope = definitions.pop("Event")["properties"]
    definitions.pop("OtherPayload", None)
    branches = [_branch(kind, payload) for kind, payload in PAYLOAD_TYPES.items()]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": f"glass_edge event, schema version {SCHEMA_VERSION}",
        "description": "Readers ignore keys they do not know and hand on kinds they do not know.",
        "type": "object",
        "required": list(ENVELOPE_ORDER),
        "properties": {name: envelope[name] for name in ENVELOPE_ORDER if name not in ("kind", "payload")},
        "oneOf": branches,
        "$defs": definitions,
    }
    _admit_later_keys(schema)
    return schema


def _branch(kind: str, payload: type[Document]) -> dict[str, Any]:
    properties: dict[str, Any] = {"kind": {"const": kind}, "payload": {"$ref": f"#/$defs/{payload.__name__}"}}
    if kind in ROLL_KINDS:
        properties |= {"roll_id": {"type": "string"}, "style": {"type": "string"}}
    return {"properties": properties}


def _admit_later_keys(node: object) -> None:
    """Drop `additionalProperties: false`: writers keep to it, readers must not."""
    if isinstance(node, dict):
        if node.get("additionalProperties") is False:
            del node["additionalProperties"]
        for value in node.values():
            _admit_later_keys(value)
    elif isinstance(node, list):
        for value in node:
            _admit_later_keys(value)


if __name__ == "__main__":
    write_json(Path(sys.argv[1]), event_schema())
