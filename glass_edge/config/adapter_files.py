"""The file of an adapter that writes files of each roll.

Promises: those of `adapters`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from glass_edge.config.adapters import AdapterSettings
from glass_edge.config.base import Settings, load_toml


class FilesSettings(Settings):
    """Files of each roll."""

    folder: Path
    """Where the rolls' files appear."""
    make_folder: bool = True
    """Make it when it is absent. False: wait for it; right for a folder inside a share that may not be mounted."""


class FilesAdapterSettings(AdapterSettings):
    """File of an adapter that writes files of each roll."""

    files: FilesSettings
    """Where to."""

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        files = self.files.model_copy(update={"folder": folder / self.files.folder})
        return super().relative_to(folder).model_copy(update={"files": files})


def load_files_adapter(path: Path) -> FilesAdapterSettings:
    """Read the file of a files adapter; its relative paths come back joined to its folder.

    Raises:
        InputError: the file is missing, is no TOML, or a key or value is wrong; all problems are listed.
    """
    return load_toml(path, FilesAdapterSettings).relative_to(path.parent)
