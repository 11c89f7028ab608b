"""Recipe table `[training]`: method, length and speed of training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

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
    adaptor_lr: float = Field(default=1e-4, ge=0, le=1)
    """Learning rate of the adaptor, as published. Three times as much unlearns weak defects within 200 steps."""
    discriminator_lr: float = Field(default=2e-4, gt=0, le=1)
    """Learning rate of the discriminator, as published."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Both learning rates stay (`constant`, published), or fall to a fiftieth over all epochs along a cosine."""
    hard_quantile: float = Field(default=0.5, ge=0, lt=1)
    """Points of synthetic images below this quantile of squared error do not count; 0: all count."""
    selvedge_share: float = Field(default=0.2, ge=0, le=1)
    """Share of crops drawn at a selvedge, a small part of the cloth that looks different."""
    keep_norm_statistics: Literal["last", "reestimate"] = "reestimate"
    """BatchNorm statistics used afterwards: those of the last steps (published), or estimated anew over good and
    synthetic crops."""
    points: int = Field(default=2048, ge=0)
    """Points of synthetic tiles that count in a step: at most half of them masked ones, the rest drawn from the others;
    0: all, as published."""
    select: Literal["last", "synthetic"] = "last"
    """The epoch that becomes the checkpoint: the last one, or the one that best tells synthetic defects on held-out
    good cloth from that cloth. Labelled test images have no part in it."""
    select_tiles: int = Field(default=32, ge=4, le=4096)
    """Held-out tiles with synthetic defects that choose the epoch, and most of the good ones beside them."""
    patience: int = Field(default=0, ge=0, le=100_000)
    """Training ends after so many epochs without improvement of what chooses the epoch; 0: it goes on to the last one.
    Needs select = "synthetic"."""
    patience_margin: float = Field(default=0.005, ge=0, le=1)
    """What counts as an improvement for `patience`."""
    keep_epochs: int = Field(default=100, ge=0, le=100_000)
    """Most epochs whose heads stay in the run folder, evenly spread when there are more, for `evaluate --all-epochs`;
    0: none."""
    feature_cache: Literal["off", "memory", "disk"] = "off"
    """Keep the backbone's maps of good tiles: in memory, or on disk in the run folder (a mapped file that is gone with
    the process). Images of a tile's size: the very tiles, so nothing else changes. Strips: good tiles are then those
    laid side by side over the cloth, shifted at random, that lie nearest to the crops drawn."""
    workers: int = Field(default=1, ge=1, le=256)
    """Threads that draw tiles while the steps are computed."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16`: the products of backbone and head in 16 bits, the rest in float32; for graphics cards, results differ
    a little."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What computes: `auto` takes the graphics card if there is one."""
    threads: int = Field(default=0, ge=0, le=1024)
    """Threads that compute; 0: one for each core this process may use."""
    tensorboard: bool = False
    """Write event files for TensorBoard into the run folder (extra `report`)."""

    @model_validator(mode="after")
    def _fits(self) -> TrainingSettings:
        if self.patience and self.select == "last":
            raise ValueError('patience needs select = "synthetic"; give that, or patience = 0')
        return self
