"""What a later minor version of the JSON Schema changes that it may not.

A minor version may add optional keys and kinds (docs/reference/events.md). Everything else breaks a peer: what a later
writer leaves out, widens or renames breaks readers of the earlier version, and what it narrows breaks the later
program where it reads the journals of the earlier one. So all that is shared has to be equal, but for the words.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]
_WORDS = frozenset({"$id", "$schema", "$defs", "title", "description", "examples"})
_OBJECT = frozenset({"properties", "required", "oneOf"})
_ABSENT = "absent"  # None stands for null


def differences(earlier: Schema, later: Schema) -> list[str]:
    """Each forbidden change, as `PATH: what`; empty where `later` may follow `earlier`."""
    return _Differ(earlier, later).compare(earlier, later, "")


class _Differ:
    def __init__(self, earlier: Schema, later: Schema) -> None:
        self._defs = earlier.get("$defs", {}), later.get("$defs", {})

    def compare(self, old: Any, new: Any, path: str) -> list[str]:  # noqa: ANN401 - any node of a schema
        if not isinstance(old, dict) or not isinstance(new, dict):
            return [] if old == new else [f"{path}: {old!r} became {new!r}"]
        old, new = self._resolved(old, 0), self._resolved(new, 1)
        found = self._keys(old, new, path) if "properties" in old or "properties" in new else []
        found += self._kinds(old.get("oneOf", []), new.get("oneOf", []))
        for word in sorted((old.keys() | new.keys()) - _WORDS - _OBJECT):
            found += self._keyword(word, old.get(word, _ABSENT), new.get(word, _ABSENT), f"{path}/{word}")
        return found

    def _resolved(self, node: Schema, side: int) -> Schema:
        while "$ref" in node:
            target = self._defs[side][node["$ref"].removeprefix("#/$defs/")]
            node = target | {name: value for name, value in node.items() if name != "$ref"}
        return node

    def _keys(self, old: Schema, new: Schema, path: str) -> list[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        must_before, must_after = set(old.get("required", [])), set(new.get("required", []))
        found = [f"{path}/{name}: removed key" for name in sorted(before.keys() - after.keys())]
        found += [f"{path}/{name}: no longer required" for name in sorted(must_before - must_after)]
        found += [f"{path}/{name}: new required key" for name in sorted(must_after - must_before)]
        for name in sorted(before.keys() & after.keys()):
            found += self.compare(before[name], after[name], f"{path}/{name}")
        return found

    def _kinds(self, old: list[Schema], new: list[Schema]) -> list[str]:
        before, after = ({branch["properties"]["kind"]["const"]: branch for branch in side} for side in (old, new))
        found = [f"{kind}: removed kind" for kind in sorted(before.keys() - after.keys())]
        for kind in sorted(before.keys() & after.keys()):
            found += self.compare(before[kind], after[kind], kind)
        return found

    def _keyword(self, word: str, old: Any, new: Any, path: str) -> list[str]:  # noqa: ANN401 - any value
        if isinstance(old, list) and isinstance(new, list):
            if word == "enum":
                return [] if set(old) == set(new) else [f"{path}: {sorted(old)} became {sorted(new)}"]
            if len(old) != len(new):
                return [f"{path}: {len(old)} alternatives became {len(new)}"]
            pairs = enumerate(zip(old, new, strict=True))
            return [text for place, (one, other) in pairs for text in self.compare(one, other, f"{path}/{place}")]
        return self.compare(old, new, path)
