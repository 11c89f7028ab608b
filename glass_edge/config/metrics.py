"""Settings of the figures that a station shows to Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field

from glass_edge.config.base import Settings


class MetricsSettings(Settings):
    """Table `[metrics]` of a station file."""

    port: int | None = Field(default=None, ge=1, le=65535)
    """Port on 127.0.0.1 where /metrics is answered; left out: nowhere."""
    adapter_folders: tuple[Path, ...] = ()
    """State folders of the station's adapters, whose lag is shown."""

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        return self.model_copy(update={"adapter_folders": tuple(folder / one for one in self.adapter_folders)})
