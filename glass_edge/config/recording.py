"""Settings of the recording of raw lines."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from glass_edge.config.base import Settings


class RecordingSettings(Settings):
    """Table `[recording]` of a station file."""

    enabled: bool = False
    """Keep raw lines whenever the station runs; `glass-edge run --record` does so once."""
    folder: Path = Path("/var/lib/glass-edge/recording")
    """Folder of the files."""
    budget_mb: int = Field(default=16_384, ge=2, le=100_000_000)
    """Most disk space for raw lines, MB; the oldest make room for new ones."""
    file_mb: int = Field(default=256, ge=1, le=1_000_000)
    """A new file begins beyond this, MB: what is removed at a time."""

    @model_validator(mode="after")
    def _fits(self) -> RecordingSettings:
        if self.budget_mb < 2 * self.file_mb:
            raise ValueError(f"budget_mb = {self.budget_mb} is less than two files of file_mb = {self.file_mb}")
        return self
