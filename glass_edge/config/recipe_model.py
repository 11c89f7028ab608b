"""Recipe table `[model]`: from feature maps to the logit.

The published GLASS is `level_width = 1536, width = 1536, hidden = 1024, adaptor = "xavier", whiten = false, prior =
"none"` on a WideResNet50 with levels 8 and 16.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from glass_edge.config.base import Settings

_HIDDEN_WITHOUT_PRIOR = 256


class ModelSettings(Settings):
    """Table `[model]`."""

    level_width: int = Field(default=0, ge=0, le=16384)
    """Values a level is pooled to; 0: all are kept, 9 x channels of a 3 x 3 neighbourhood."""
    width: int = Field(default=0, ge=0, le=16384)
    """Values of all levels together are pooled to this many; 0: they stay as they are."""
    neighbours: Literal["finest", "all"] = "finest"
    """Levels whose 3 x 3 neighbourhoods count: the finest alone, or `all` (published). Cells of a coarser level see far
    enough by themselves."""
    hidden: int = Field(default=0, ge=0, le=8192)
    """Width of the discriminator's hidden layer; published: 1024; with prior = 'none': 256. 0: there is none, the prior
    alone is the discriminator, and what is trained is the adaptor: which directions of the features count how much. On
    cloth a hidden layer learns the synthetic defects by heart and unlearns weak real ones."""
    whiten: bool = True
    """Whiten the features with mean and covariance of good cloth."""
    whitening: Literal["pca", "zca", "cholesky"] = "pca"
    """Which of the equivalent whitenings: along the principal axes, nearest to the features, or triangular."""
    shrinkage: float | Literal["oas"] = "oas"
    """Share (0 to 1) of the covariance that is replaced by its mean variance, or `oas` to choose it from the data."""
    adaptor: Literal["identity", "xavier", "none"] = "identity"
    """First value of the adaptor; published: xavier. `none`: there is no adaptor, the features stay as they are."""
    prior: Literal["none", "whitened", "adapted"] = "adapted"
    """Add alpha (mean square of the features - beta) to the logit, of the whitened features before the adaptor or of
    those behind it: what a Gaussian around good cloth would say. Published: none."""
    prior_alpha: float = Field(default=3.0, gt=0, le=1000)
    """First value of alpha."""
    prior_beta: float = Field(default=3.0, ge=0, le=1000)
    """First value of beta; the mean square of whitened good cloth is 1 on average."""
    prior_learnable: bool = True
    """Train alpha and beta."""

    @model_validator(mode="before")
    @classmethod
    def _needs_a_discriminator(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        is_left_out = isinstance(values, dict) and values.get("prior") == "none"
        return {"hidden": _HIDDEN_WITHOUT_PRIOR, **values} if is_left_out else values

    @model_validator(mode="after")
    def _fits(self) -> ModelSettings:
        if isinstance(self.shrinkage, float | int) and not 0 <= self.shrinkage <= 1:
            raise ValueError(f"shrinkage = {self.shrinkage}: give a number from 0 to 1, or 'oas'")
        if not self.hidden and self.prior == "none":
            raise ValueError("hidden = 0 leaves the prior alone, but prior = 'none'; give hidden = 256, or a prior")
        if self.prior == "whitened" and not self.whiten:
            raise ValueError("prior = 'whitened' needs whiten = true; or give prior = 'none' or 'adapted'")
        return self
