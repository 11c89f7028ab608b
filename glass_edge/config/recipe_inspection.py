"""Recipe table `[inspection]`: what becomes of the scores."""

from __future__ import annotations

from pydantic import Field

from glass_edge.config.base import Settings


class RecipeInspectionSettings(Settings):
    """Table `[inspection]`."""

    smoothing_sigma_px: float = Field(default=2.0, ge=0, le=256)
    """Sigma of the Gaussian over the logits before the threshold, camera px; published: 4."""
    threshold_quantile: float = Field(default=0.999, gt=0, le=1)
    """Quantile of the block maxima of good cloth that is the threshold."""
    threshold_margin: float = Field(default=0.0, ge=0, le=1000)
    """Added to the threshold, logits."""
    block_height_px: int = Field(default=256, ge=1, le=65536)
    """Length of a block of good cloth whose largest score counts (along the web), px."""
    block_width_px: int = Field(default=256, ge=1, le=65536)
    """Width of such a block, px."""
    selvedge_zone_px: int = Field(default=96, ge=0, le=65536)
    """Cloth this near to a selvedge has a threshold of its own, from its own blocks of good cloth, px; 0: none."""
    min_area_px: int = Field(default=0, ge=0)
    """Smallest alarmed area of a defect when a labelled folder is evaluated, px; 0: one score cell is enough."""
