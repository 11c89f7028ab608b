"""The first rolls of each style and model, kept beside the journal: what later ones are compared with.

Promises: a baseline outlives the journal's oldest events and the journal itself, until a person begins it anew; the
file is whole or as it was before; it is bounded: the styles and models that were added last are kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from glass_edge.config.base import Settings, describe
from glass_edge.errors import InputError
from glass_edge.events.filelock import FileLock
from glass_edge.files import write_json

_MOST_BASELINES = 64


class RollValue(Settings):
    """A figure of a roll."""

    seq: int = Field(ge=0)
    """Event that told it; 0: of a journal that is gone."""
    roll_id: str
    """The roll."""
    value: float
    """The figure."""


class KeptBaseline(Settings):
    """First rolls of a style by one model."""

    style: str
    """The style."""
    model_sha256: str
    """The model."""
    after_seq: int = Field(default=0, ge=0)
    """Rolls told up to this event do not count: the charts were begun anew there."""
    figures: dict[str, tuple[RollValue, ...]] = Field(default_factory=dict)
    """By figure, the first rolls that have it, in order of time."""


class DriftMemory(Settings):
    """The file."""

    format: Literal[1] = 1
    """Version of this file."""
    epoch: str = ""
    """Of the journal whose events are numbered here."""
    baselines: tuple[KeptBaseline, ...] = ()
    """Of all styles and models, the oldest first."""

    def of(self, style: str, model_sha256: str) -> KeptBaseline:
        """What is kept of a style and model, empty where that is nothing."""
        for kept in self.baselines:
            if (kept.style, kept.model_sha256) == (style, model_sha256):
                return kept
        return KeptBaseline(style=style, model_sha256=model_sha256)

    def having(self, baseline: KeptBaseline) -> DriftMemory:
        """With this baseline in place of the one of the same style and model."""
        key = (baseline.style, baseline.model_sha256)
        is_new = all((kept.style, kept.model_sha256) != key for kept in self.baselines)
        told = [baseline if (kept.style, kept.model_sha256) == key else kept for kept in self.baselines]
        told += [baseline] if is_new else []
        return self.model_copy(update={"baselines": tuple(told[-_MOST_BASELINES:])})

    def in_epoch(self, epoch: str) -> DriftMemory:
        """For the journal of `epoch`: of events of another one the numbers mean nothing, and come before all others."""
        if self.epoch == epoch:
            return self
        baselines = []
        for kept in self.baselines:
            figures = {
                name: tuple(one.model_copy(update={"seq": 0}) for one in rolls) for name, rolls in kept.figures.items()
            }
            baselines.append(kept.model_copy(update={"after_seq": 0, "figures": figures}))
        return DriftMemory(epoch=epoch, baselines=tuple(baselines))


def drift_memory_path(journal: Path) -> Path:
    """Where a station with this journal keeps its baselines."""
    return journal.with_name(f"{journal.name}.drift.json")


def load_memory(path: Path) -> DriftMemory:
    """Read the file, which need not exist.

    Raises:
        InputError: it is damaged.
    """
    remedy = "delete it, and the baselines are made anew of the oldest rolls that the journal keeps"
    try:
        return DriftMemory.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return DriftMemory()
    except ValidationError as error:
        raise InputError(f"{describe(path, '', DriftMemory, error)}; {remedy}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {remedy}") from error


def change_memory(path: Path, change: Callable[[DriftMemory], DriftMemory]) -> None:
    """Write what `change` makes of the file, one writer at a time.

    Raises:
        InputError: the file is damaged, cannot be written, or is just being written by another program.
    """
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    if not lock.acquire():
        raise InputError(f"{path}: {lock.holder()} is writing it just now; try again")
    try:
        write_json(path, change(load_memory(path)).model_dump(mode="json"))
    finally:
        lock.release()
