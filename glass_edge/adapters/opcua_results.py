"""Results of the last rolls and the recipes that were active, as the OPC UA server shows them after a restart too.

Promises: a result is a function of the roll's events, and of the engine that was active at its end; it is on disk
before it is shown; kept again, it takes its own place; there are never more than asked for, and the oldest go first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from glass_edge.adapters.roll_files import RollSummary
from glass_edge.errors import InputError
from glass_edge.events.parsing import first_problem
from glass_edge.events.payloads import Document, EngineActivated, Name
from glass_edge.events.schema import Stamp
from glass_edge.files import make_folder, remove_temporaries, write_json

DocumentT = TypeVar("DocumentT", bound=Document)

_MOST_GAPS = 500
_MOST_RECIPES = 50


class ResultState(IntEnum):
    """ResultStateDataType of OPC 40100-1, 12.19."""

    UNDEFINED = 0
    COMPLETED = 1
    PROCESSING = 2
    ABORTED = 3
    FAILED = 4


class Recipe(Document):
    """An engine: what OPC 40100-1 calls a recipe."""

    style: Name
    version: Name
    model_sha256: str
    activated_utc: Stamp

    @property
    def internal_id(self) -> str:
        """Its name within the station."""
        return f"{self.style}/{self.version}"


class RollResult(Document):
    """What a roll came to."""

    format_version: Literal[1] = 1
    result_id: str = Field(pattern=r"^[0-9a-f]{32}-[0-9]{1,19}$")
    """Epoch and number of the roll's first event."""
    roll_id: Name
    style: Name
    recipe: Recipe | None
    """Null where the station told of no engine."""
    state: ResultState
    is_partial: bool
    """The roll has no start, no end, or events of it were lost."""
    is_simulated: bool
    started_utc: Stamp
    ended_utc: Stamp
    content: dict[str, Any]
    """Figures, gaps and defects."""

    def content_json(self) -> str:
        """The content, compact."""
        return json.dumps(self.content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def result_of(
    summary: RollSummary, lost: list[tuple[int, int]], recipe: Recipe | None, most_defects: int
) -> RollResult:
    """The result of a roll.

    Args:
        summary: of its events.
        lost: ranges of seq that never came.
        recipe: engine that was active at its end.
        most_defects: most defects in the content, those with the highest peak.
    """
    document = summary.document(lost)
    defects, gaps = document["defects"], document["gaps"]
    worst = sorted(defects, key=lambda defect: (-defect["peak_logit"], defect["defect_id"]))[:most_defects]
    kept = {defect["defect_id"] for defect in worst}
    document |= {
        "defects": [defect for defect in defects if defect["defect_id"] in kept],
        "defects_left_out": len(defects) - len(kept),
        "gaps": gaps[:_MOST_GAPS],
        "gaps_left_out": max(0, len(gaps) - _MOST_GAPS),
    }
    return RollResult(
        result_id=f"{document['epoch']}-{document['first_seq']}",
        roll_id=document["roll_id"],
        style=document["style"],
        recipe=recipe,
        state=ResultState.ABORTED if document["roll_end"] is None else ResultState.COMPLETED,
        is_partial=not document["is_complete"],
        is_simulated=document["is_simulated"],
        started_utc=document["first_event_utc"],
        ended_utc=document["last_event_utc"],
        content=document,
    )


class ResultStore:
    """Results in a folder, a file each, and the recipes beside them.

    Args:
        folder: of the files; of this adapter alone.
        most: most results.

    Raises:
        InputError: the folder or a file in it cannot be used.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = make_folder(folder)
        self._most = most
        remove_temporaries(folder)
        paths = sorted(folder.glob("result-*.json"))
        read = {path: _read(path, RollResult) for path in paths}
        self._files = {result.result_id: path for path, result in read.items()}
        self._results = {result.result_id: result for result in read.values()}
        self._next = 1 + max((int(path.stem.removeprefix("result-")) for path in paths), default=0)
        self._recipes_path = folder / "recipes.json"
        is_there = self._recipes_path.exists()
        self._recipes = list(_read(self._recipes_path, _Recipes).recipes) if is_there else []
        self._prune()

    @property
    def results(self) -> Sequence[RollResult]:
        """Results, the oldest first."""
        return tuple(self._results.values())

    @property
    def recipes(self) -> Sequence[Recipe]:
        """Recipes that were active, the last activated last."""
        return tuple(self._recipes)

    def keep(self, result: RollResult) -> None:
        """Keep a result; durable when this returns.

        Raises:
            InputError: the folder cannot be written. OSError: the disk is full.
        """
        path = self._files.get(result.result_id) or self._folder / f"result-{self._next:010d}.json"
        write_json(path, result.model_dump(mode="json"))
        if result.result_id not in self._files:
            self._next += 1
        self._files[result.result_id] = path
        self._results[result.result_id] = result
        self._prune()

    def activated(self, engine: EngineActivated, stamp_utc: datetime) -> None:
        """Keep the recipe that is active from now on. Raises as `keep`."""
        recipe = Recipe(
            style=engine.style, version=engine.version, model_sha256=engine.model_sha256, activated_utc=stamp_utc
        )
        if self._recipes and self._recipes[-1] == recipe:
            return
        others = [other for other in self._recipes if other.internal_id != recipe.internal_id]
        recipes = [*others, recipe][-_MOST_RECIPES:]
        write_json(self._recipes_path, _Recipes(recipes=tuple(recipes)).model_dump(mode="json"))
        self._recipes = recipes

    def _prune(self) -> None:
        while len(self._results) > self._most:
            oldest = min(self._files, key=lambda result_id: self._files[result_id].name)
            self._files.pop(oldest).unlink(missing_ok=True)
            del self._results[oldest]


class _Recipes(Document):
    format_version: Literal[1] = 1
    recipes: tuple[Recipe, ...] = ()


def _read(path: Path, model: type[DocumentT]) -> DocumentT:
    try:
        return model.model_validate(json.loads(path.read_text(encoding="utf-8")), extra="ignore")
    except ValidationError as error:
        problem = first_problem(error)
    except (OSError, ValueError, RecursionError) as error:
        problem = str(error)
    raise InputError(f"{path}: is no file of this adapter ({problem}); remove it, other results are kept")
