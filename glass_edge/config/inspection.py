"""Settings of the inspection: what counts as a defect, and how the threads run.

Promises: every default works for a 4096 px camera; lengths are millimetres of cloth; what belongs to the trained style
(tile, halo, threshold, smoothing) comes from the bundle unless it is overridden here.
"""

from __future__ import annotations

from pydantic import Field

from glass_edge.config.base import Settings


class InspectionSettings(Settings):
    """Table `[inspection]` of a station file."""

    threshold_logit: float | None = None
    """Alarm threshold on the smoothed logit; None: the bundle's."""
    smoothing_sigma_px: float | None = Field(default=None, ge=0, le=256)
    """Sigma of the Gaussian smoothing, camera px; None: the bundle's."""
    min_area_mm2: float = Field(default=0.0, ge=0)
    """Smallest alarmed area of a defect, mm2; 0: one score cell is enough."""
    gap_mm: float = Field(default=2.0, ge=0, le=1000)
    """Stretches without alarm up to this long do not part a defect, mm."""
    hysteresis_logit: float = Field(default=0.0, ge=0, le=1000)
    """A defect needs a cell at the threshold; its other cells reach down to this much below it, logits."""
    run_gap_mm: float = Field(default=25.0, ge=0, le=1000)
    """Marks in a row along one end or pick are one defect where no more than this lies between two, mm; 0: never."""
    run_width_mm: float = Field(default=5.0, gt=0, le=100)
    """Width of such a row, mm."""
    running_mm: float = Field(default=1000.0, gt=0)
    """A line along the web from this length on is a running defect, mm."""
    hole_contrast: float | None = Field(default=None, ge=-1, le=10)
    """Brightness of what lies behind the cloth against the cloth, less 1 (dark: -0.6): a defect a fifth of which is so
    is a hole. None: holes are not told from other defects."""
    cut_mark_width: float | None = Field(default=None, gt=0, le=1)
    """A weft line over this share of the cloth's width is a cut mark, behind which a new roll begins; None: none is."""
    update_step_mm: float = Field(default=10.0, gt=0)
    """Growth of an open defect, along or across, that is worth an update, mm; of a long one 5 % of its length."""
    span_lines: int = Field(default=256, ge=16, le=65536)
    """Lines at the start of each stretch of cloth in which the selvedges are looked for."""
    follow_lines: int = Field(default=512, ge=16, le=65536)
    """Lines from one look at the selvedges to the next, where they are followed."""
    advance_px: int | None = Field(default=None, ge=16, multiple_of=16)
    """Lines from one row of tiles to the next; None: tile height less both halos, the least work. Smaller: sooner."""
    batch: int | None = Field(default=None, ge=1, le=256)
    """Most tiles a call of the engine; None: the engine's own limit."""
    block_queue: int = Field(default=32, ge=1, le=4096)
    """Line blocks that may wait for the inference thread."""
    strip_queue: int = Field(default=64, ge=2, le=4096)
    """Pieces of work that may wait for the defects thread."""
    engine_failures_to_stop: int = Field(default=5, ge=1)
    """Failures of the engine one after the other at which the inspection gives up."""
    stop_drain_s: float = Field(default=5.0, ge=0)
    """After a stop request, lines already taken in are still inspected for at most this long, s."""
    read_timeout_s: float = Field(default=0.2, gt=0, le=10)
    """Longest wait for a block before a stop request is looked for, s."""
    progress_s: float = Field(default=1.0, gt=0)
    """Time between two progress reports, s."""
    crops: bool = True
    """Keep a picture of each ended defect."""
    crop_margin_mm: float = Field(default=10.0, ge=0)
    """Cloth shown around a defect, mm."""
    crop_least_px: int = Field(default=0, ge=0, le=4096)
    """Least width and length of a picture, px and lines: at least the tile's longer side makes pictures that a style
    can be trained on again (docs/how-to/judge-defects.md)."""
    crop_lines: int = Field(default=1024, ge=16)
    """Longest picture along the web, lines; a longer defect shows its first part."""
    crop_memory_mb: int = Field(default=64, ge=1, le=8192)
    """Memory for recent lines and scores from which the pictures are cut, MB."""
