"""Settings of what a station keeps on disk besides its journal."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from glass_edge.config.base import Settings


class OutputSettings(Settings):
    """Table `[output]` of a station file."""

    folder: Path = Path("/var/lib/glass-edge/output")
    """Folder of the pictures of defects."""
    crops_mb: int = Field(default=1024, ge=1, le=1_000_000)
    """Most disk space for pictures of defects, MB; the oldest make room for new ones."""
    reports: bool | None = None
    """A report (map, gallery, tables, PDF) at the end of every roll, under `reports/` in the folder. Left out: where
    the extra `report` is installed."""
    report_wait_s: float = Field(default=60.0, ge=0, le=3600)
    """When the station stops, the last report may still take this long, s."""
