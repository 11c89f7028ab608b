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
