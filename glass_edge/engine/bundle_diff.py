"""What differs between two bundles, by their manifests and hashes.

Promises: every value of the manifests that differs is listed under its key, a parity result under its runtime and
precision whatever their order, and every file whose content differs under its name; equal bundles give nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from glass_edge.engine.bundle import Bundle

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Change:
    """A value that differs.

    Attributes:
        name: key of the manifest, with dots.
        a, b: the values; None: not there.
    """

    name: str
    a: Value
    b: Value


@dataclass(frozen=True, slots=True)
class BundleDiff:
    """What differs.

    Attributes:
        values: of the manifests, and `signed by`.
        files: SHA-256 by the file's name in place of a value.
        same_files: how many files both have with the same content.
    """

    values: tuple[Change, ...]
    files: tuple[Change, ...]
    same_files: int

    @property
    def is_empty(self) -> bool:
        """True when manifests, files and signatures are the same."""
        return not self.values and not self.files


def compare(a: Bundle, b: Bundle) -> BundleDiff:
    """Compare two loaded bundles."""
    files = tuple(_changes(dict(a.manifest.files), dict(b.manifest.files)))
    same = len(a.manifest.files.keys() & b.manifest.files.keys()) - sum(None not in (one.a, one.b) for one in files)
    return BundleDiff(tuple(_changes(_values(a), _values(b))), files, same)


def _changes(a: dict[str, Value], b: dict[str, Value]) -> Iterator[Change]:
    for name in [*a, *(name for name in b if name not in a)]:
        if a.get(name) != b.get(name):
            yield Change(name, a.get(name), b.get(name))


def _values(bundle: Bundle) -> dict[str, Value]:
    document = bundle.manifest.model_dump(mode="json", exclude={"files"})
    document["parity"] = {f"{one['runtime']} {one['precision']}": one for one in document["parity"]}
    signed_by = "; ".join(map(str, bundle.signatures)) or None
    return {**dict(_flat("", document)), "signed by": signed_by}


def _flat(name: str, value: Any) -> Iterator[tuple[str, Value]]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _flat(f"{name}.{key}" if name else key, one)
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value))
    else:
        yield name, value
