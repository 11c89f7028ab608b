"""Recipe table `[parity]`: how near an engine must come to the checkpoint."""

from __future__ import annotations

from pydantic import Field

from glass_edge.config.base import Settings


class ParitySettings(Settings):
    """Table `[parity]`. A fraction of float32 is of the largest golden logit (at least 1): another order of sums.

    Fractions of the other precisions are of twice the threshold (at least 1): what counts is the decision, and the
    largest golden logit stems from painted damage.
    """

    f32_tolerance: float = Field(default=1e-3, gt=0, le=1)
    """Allowed logit error in float32, a fraction; room for whitened features."""
    bf16_tolerance: float = Field(default=0.05, gt=0, le=1)
    """The same in bf16, a fraction."""
    fp16_tolerance: float = Field(default=0.05, gt=0, le=1)
    """The same in fp16, a fraction."""
    int8_tolerance: float = Field(default=0.1, gt=0, le=1)
    """The same with 8-bit convolutions, a fraction."""
    int8_quantile: float = Field(default=0.99, gt=0, le=1)
    """Share of the golden cells that must keep to `int8_tolerance`; of the other precisions all must. Damage drives
    values beyond the ranges of good cloth, where 8 bits end."""
    changed_share: float = Field(default=0.05, ge=0, le=1)
    """Share of the alarm cells whose decision may differ; one more is always allowed, at a contour's edge."""
    int8_changed_share: float = Field(default=0.1, ge=0, le=1)
    """The same with 8-bit convolutions."""
    min_rank_correlation: float = Field(default=0.9, ge=-1, le=1)
    """Least rank correlation of the largest scores of held-out good tiles with the checkpoint's."""
    max_auroc_loss: float = Field(default=0.005, ge=0, le=1)
    """Largest loss of tile AUROC on a labelled folder, where `build` is given one."""
