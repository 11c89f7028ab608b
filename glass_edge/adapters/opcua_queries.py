"""Which results and recipes a client of the OPC UA server asks for.

Promises: the newest come first; pages of one query are disjoint and together the whole, while nothing new comes; what
the station has no word for, such as a product, matches nothing when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from glass_edge.adapters.opcua_results import Recipe, RollResult

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Page(Generic[Found]):
    """Part of an answer.

    Attributes:
        items: those asked for.
        is_complete: no more follow.
    """

    items: tuple[Found, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class ResultQuery:
    """Filter of GetResultListFiltered; what is empty or 0 is not asked for.

    Attributes:
        state: of the result.
        style: external id of the recipe.
        version: its version.
        internal_id: internal id of the recipe.
        roll_id: id of the job.
        unknown: other ids were given, which no result has.
    """

    state: int = 0
    style: str = ""
    version: str = ""
    internal_id: str = ""
    roll_id: str = ""
    unknown: bool = False

    def matches(self, result: RollResult) -> bool:
        """True for a result that is asked for."""
        recipe = result.recipe
        return (
            not self.unknown
            and self.state in (0, result.state)
            and self.style in ("", recipe.style if recipe else None)
            and self.version in ("", recipe.version if recipe else None)
            and self.internal_id in ("", recipe.internal_id if recipe else None)
            and self.roll_id in ("", result.roll_id)
        )


def find_results(results: Sequence[RollResult], query: ResultQuery, *, first: int, most: int) -> Page[RollResult]:
    """Results that match, from the `first`th on; `most` 0: all."""
    return _page([result for result in reversed(results) if query.matches(result)], first, most)


def find_recipes(
    recipes: Sequence[Recipe], style: str, version: str, *, is_used: bool | None, first: int, most: int
) -> Page[Recipe]:
    """Recipes that match; `is_used`: whether it is the last, which decides; None: either."""
    matching = [
        recipe
        for recipe in reversed(recipes)
        if style in ("", recipe.style)
        and version in ("", recipe.version)
        and (is_used is None or is_used == (recipe is recipes[-1]))
    ]
    return _page(matching, first, most)


def _page(items: Sequence[Found], first: int, most: int) -> Page[Found]:
    end = len(items) if most == 0 else first + most
    return Page(tuple(items[first:end]), end >= len(items))
