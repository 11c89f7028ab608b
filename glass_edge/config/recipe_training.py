"""Recipe table `[training]`: method, length and speed of training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from glass_edge.config.base import Settings


class TrainingSettings(Settings):
    """Table `[training]`."""

    method: Literal["glass", "mahalanobis"] = "glass"
    """`mahalanobis`: no training, the logit is the mean square of the whitened features."""
    epochs: int = Field(default=8, ge=1, le=100_000)
    """Epochs; published: 640."""
    samples_per_epoch: int = Field(default=200, ge=1, le=1_000_000)
    """An epoch ends with the batch after which more crops than this were seen; published: 392."""
    batch: int = Field(default=4, ge=1, le=1024)
    """Crops a step; published: 8."""
    adaptor_lr: float = Field(default=3e-4, ge=0, le=1)
    """Learning rate of the adaptor; published: 1e-4."""
    discriminator_lr: float = Field(default=2e-3, gt=0, le=1)
    """Learning rate of the discriminator; published: 2e-4."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Both learning rates stay (`constant`, published), or fall to a fiftieth over all epochs along a cosine."""
    hard_quantile: float = Field(default=0.5, ge=0, lt=1)
    """Points of synthetic images below this quantile of squared error do not count; 0: all count."""
    selvedge_share: float = Field(default=0.2, ge=0, le=1)
    """Share of crops drawn at a selvedge, a small part of the cloth that looks different."""
    keep_norm_statistics: Literal["last", "reestimate"] = "reestimate"
    """BatchNorm statistics used afterwards: those of the last steps (published), or estimated anew over good and
    synthetic crops."""
    threads: int = Field(default=0, ge=0, le=1024)
    """Threads that compute; 0: one for each core this process may use."""
