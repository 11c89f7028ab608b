"""Settings of the styles that a station may be told to inspect while it runs.

Promises: each style has one place where its engines lie; nothing on disk is touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, StringConstraints

from glass_edge.config.base import Settings

Style = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=128)]


class RecipeEntry(Settings):
    """One style of the table `[recipes]`: `style = "folder"`, or a table with these keys."""

    bundle: Path
    """Its engine: a bundle engines/<style>/<version>, or the style's folder for any of its versions."""
    look: Path | None = None
    """Look of the style at this camera, written by `glass-edge calibrate learn`; left out: the camera's picture is not
    checked while the style is woven."""

    def relative_to(self, folder: Path) -> RecipeEntry:
        """The same with relative paths counted from `folder`."""
        return RecipeEntry(bundle=folder / self.bundle, look=None if self.look is None else folder / self.look)


def _entry(value: Any) -> Any:  # noqa: ANN401 - what a TOML file holds
    if isinstance(value, str):
        return {"bundle": value}
    if not isinstance(value, dict | RecipeEntry):
        raise ValueError('give the folder of its engines, or a table: { bundle = "folder" }')
    return value


Recipes = dict[Style, Annotated[RecipeEntry, BeforeValidator(_entry)]]
"""Table `[recipes]` of a station file, by style."""
