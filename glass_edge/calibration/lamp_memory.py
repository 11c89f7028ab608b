"""What is known of a station's lamp, kept beside its flat field.

Promises: the file belongs to one flat field (a new one starts with an unknown lamp); it is the old one or the new one,
whenever the power goes.

The gain is the lamp's; the level of the picture beside the cloth is that of the columns it was seen in; the level of
the cloth is that of its style, too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from glass_edge.calibration.documents import load_document
from glass_edge.calibration.lamp_drift import Follows, KnownLamp
from glass_edge.config.base import Settings
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.files import write_json

_MOST_LEVELS = 256  # of styles; the longest unused goes


class LampLevel(Settings):
    """A level that is kept."""

    follows: Follows
    """What has it."""
    style: str = ""
    """Style of the cloth that has it; empty for the picture beside the cloth."""
    left_px: int | None = None
    """Columns in which the cloth lay; left out: the whole line."""
    right_px: int | None = None
    """Column after them."""
    reference_dn: float = Field(gt=0, le=255)
    """The level under the lamp of the flat field."""


class LampMemory(Settings):
    """The file."""

    format: Literal[1] = 1
    """Version of this file."""
    kind: Literal["lamp-level"] = "lamp-level"
    """What the file is."""
    flat_field_sha256: str
    """The flat field the levels belong to."""
    gain: float = Field(default=1.0, gt=0.1, lt=10)
    """That makes up for the lamp."""
    levels: tuple[LampLevel, ...] = ()
    """The longest unused first."""
    updated_utc: str = ""
    """When it was written."""

    def known(self, span: ClothSpan | None, style: str) -> KnownLamp:
        """What is known for a cloth."""
        found: dict[Follows, float] = {
            one.follows: one.reference_dn for one in self.levels if _key(one) in _keys(span, style)
        }
        return KnownLamp(self.gain, found.get("beside"), found.get("cloth"))

    def learnt(self, known: KnownLamp, span: ClothSpan | None, style: str) -> LampMemory:
        """The memory with what is known for a cloth."""
        keys = _keys(span, style)
        kept = [one for one in self.levels if _key(one) not in keys]
        for (follows, of_style, left, right), level in zip(keys, (known.beside_dn, known.cloth_dn), strict=True):
            if level is not None:
                kept.append(
                    LampLevel(follows=follows, style=of_style, left_px=left, right_px=right, reference_dn=level)
                )
        now = datetime.now(UTC).isoformat(timespec="seconds")
        changes = {"gain": known.gain, "levels": tuple(kept[-_MOST_LEVELS:]), "updated_utc": now}
        return self.model_copy(update=changes)

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically; raises InputError or OSError where that fails."""
        write_json(path, self.model_dump(mode="json"))


_Key = tuple[Follows, str, int | None, int | None]


def _key(level: LampLevel) -> _Key:
    return level.follows, level.style, level.left_px, level.right_px


def _keys(span: ClothSpan | None, style: str) -> tuple[_Key, _Key]:
    left, right = (None, None) if span is None else (span.left_px, span.right_px)
    return ("beside", "", left, right), ("cloth", style, left, right)


def memory_path(flat_field: Path) -> Path:
    """Where the memory of a flat field's lamp lies: `camera.flat.npz` has `camera.flat.lamp.json`."""
    return flat_field.with_suffix(".lamp.json")


def load_memory(path: Path, flat_field_sha256: str) -> LampMemory:
    """The memory at `path`; an empty one where there is none, or another flat field's.

    Raises:
        InputError: the file is damaged.
    """
    fresh = LampMemory(flat_field_sha256=flat_field_sha256)
    if not path.exists():
        return fresh
    remedy = "remove it, and the lamp's level is taken anew"
    found = load_document(path, LampMemory, what="the memory of a lamp", remedy=remedy)
    return found if found.flat_field_sha256 == flat_field_sha256 else fresh
