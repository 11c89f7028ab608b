"""The manifest of a bundle: what an engine is, where it came from and what it is trusted for.

Promises: a manifest that validates names every file of its bundle with its SHA-256, and no name leads out of the
bundle's folder; unknown keys and other format versions are refused.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, field_validator, model_validator

from glass_edge.config.base import Settings

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
MANIFEST_HASH_NAME = "manifest.sha256"
SIGNATURE_NAME = "signature.json"
MODEL_NAME = "model.onnx"
INT8_NAME = "model-int8.xml"
INT8_WEIGHTS_NAME = "model-int8.bin"
GOLDEN_NAME = "golden.npz"


class PositionProfile(Settings):
    """What a place in the tile adds to the logits of good cloth; taken off before anything else."""

    rows: tuple[float, ...]
    """A row of score cells each, from the tile's top."""
    columns: tuple[float, ...]
    """A column each, from its left."""
    tiles: int = Field(gt=0)
    """Tiles of good cloth it was measured on."""
    spread_before: float = Field(ge=0)
    """Standard deviation over the places of the mean logit."""
    spread_after: float = Field(ge=0)
    """The same with the profile taken off."""
    spread_of_scores: float = Field(ge=0)
    """Standard deviation of single logits, to compare with."""


class TileSpec(Settings):
    """Geometry of a tile and of its scores."""

    height_px: int = Field(gt=0, multiple_of=16)
    """Height of a tile (along the web), px."""
    width_px: int = Field(gt=0, multiple_of=16)
    """Width of a tile (across the web), px."""
    channels: Literal[1, 3]
    """1: grey tiles; 3: RGB tiles. The graph takes NHWC uint8."""
    halo_px: int = Field(ge=0, multiple_of=16)
    """Border of a tile whose scores are not used, px."""
    score_stride_px: int = Field(gt=0)
    """Pixels a score cell, both ways."""
    max_halo_error: float = Field(ge=0)
    """Largest logit difference between tiled and one-piece scores, measured when the bundle was built."""
    profile: PositionProfile | None = None
    """None: no place in the tile differs from the others."""

    @model_validator(mode="after")
    def _fits(self) -> TileSpec:
        for side in (self.height_px, self.width_px):
            if side <= 2 * self.halo_px:
                raise ValueError(f"a tile side of {side} px leaves nothing inside a halo of {self.halo_px} px")
        if 16 % self.score_stride_px:
            raise ValueError(f"score stride {self.score_stride_px} px does not divide 16 px, the grid of tile origins")
        cells = (self.height_px // self.score_stride_px, self.width_px // self.score_stride_px)
        if self.profile is not None and (len(self.profile.rows), len(self.profile.columns)) != cells:
            raise ValueError(
                f"the profile has {len(self.profile.rows)} rows and {len(self.profile.columns)} columns; the tile has "
                f"{cells[0]} and {cells[1]} score cells"
            )
        return self


class SelvedgeSpec(Settings):
    """The threshold beside the selvedges, where cloth is woven differently."""

    zone_px: int = Field(gt=0)
    """Width of the zone from a selvedge inwards, camera px."""
    offset_logit: float = Field(ge=0)
    """How much higher the threshold is in the zone."""
    method: str
    """How the zone's threshold was found, in a sentence."""
    n_blocks: int = Field(gt=0)
    """Blocks of good cloth in the zone."""


class TailSpec(Settings):
    """The tail of the block maxima of good cloth: generalised Pareto above a level."""

    level_logit: float
    """From here up."""
    exceeding: int = Field(gt=0)
    """Blocks above the level."""
    shape: float
    """Shape; above 0: heavier than exponential."""
    scale: float = Field(gt=0)
    """Scale of the excesses, logits."""
    rate_per_m: float = Field(gt=0)
    """Exceedances of the level a metre."""
    anderson_darling: float
    """Statistic of the fit, smaller is better."""
    anderson_darling_limit: float
    """Exceeded by 1 % of samples of such a tail."""


class PromiseSpec(Settings):
    """What a threshold promises: false alarms (announced defects) in 100 m of good cloth, and what that rests on."""

    asked_per_100m: float = Field(gt=0)
    """What was asked."""
    estimate_per_100m: float | None = Field(default=None, ge=0)
    """Most likely rate; None: without a tail there is none."""
    low_per_100m: float = Field(ge=0)
    """Lower end of its interval."""
    high_per_100m: float = Field(gt=0)
    """Upper end of its interval: the promise."""
    confidence: float = Field(gt=0, lt=1)
    """Of the interval."""
    method: Literal["tail", "largest block"]
    """A fitted tail, or no more than that the largest block stands for."""
    metres: float = Field(gt=0)
    """Good cloth inspected, m."""
    rolls: int = Field(gt=0)
    """Rolls it came from."""
    blocks: int = Field(gt=0)
    """Blocks: stretches of the whole width."""
    block_m: float = Field(gt=0)
    """Length of a block, m."""
    mm_per_px: float = Field(gt=0)
    """Scale the cloth was inspected at, mm."""
    mm_per_line: float = Field(gt=0)
    """Advance a line, mm."""
    gap_mm: float = Field(ge=0)
    """Stretches without alarm up to this long part no defect, mm; a station with less announces more."""
    largest_logit: float
    """Largest smoothed logit of the good cloth."""
    alarms_per_exceedance: float = Field(gt=0)
    """Announced defects by exceedances of the level."""
    extremal_index: float = Field(gt=0, le=1)
    """Clusters by exceeding blocks."""
    extremal_index_by_chance: float = Field(gt=0, le=1)
    """The same of independent blocks."""
    dispersion: float = Field(gt=0)
    """Variance of the counts by that of independent blocks; widens the interval."""
    tail: TailSpec | None = None
    """The tail; None: there is none."""
    from_version: str
    """Bundle version whose threshold was replaced; parity on good tiles and labelled images was judged there."""
    previous_logit: float
    """Its threshold."""
    evidence: str
    """File of the bundle with the maximum of every block."""


class ThresholdSpec(Settings):
    """The alarm threshold and the evidence it rests on."""

    logit: float
    """A defect is where the smoothed logit is at or above this."""
    method: str
    """How it was found, in a sentence."""
    quantile: float = Field(gt=0, le=1)
    """Quantile of the block maxima of good cloth."""
    n_blocks: int = Field(ge=0)
    """Blocks of good cloth behind it; 0: set by hand."""
    good_cloth_lines: int = Field(ge=0)
    """Camera lines of good cloth behind it."""
    selvedge: SelvedgeSpec | None = None
    """Higher beside the selvedges; None: the same everywhere."""
    promise: PromiseSpec | None = None
    """False alarms promised at this threshold, for the whole width; None: none were."""


class GoodTilesParity(Settings):
    """An engine variant beside the checkpoint on good tiles that were held out of training."""

    tiles: int = Field(gt=0)
    max_abs_logit_error: float
    p99_abs_logit_error: float
    """99 % of the cells differ by no more."""
    rank_correlation: float
    """Of the tiles' largest smoothed scores, Spearman's."""
    alarm_cells: int = Field(ge=0)
    """Cells the checkpoint calls alarms: false ones."""
    alarm_cells_changed: int = Field(ge=0)
    """Cells whose decision at the threshold differs."""


class LabelledParity(Settings):
    """An engine variant beside the checkpoint on a labelled folder, both at the bundle's threshold."""

    folder: str
    tile_auroc: float
    """Of the engine."""
    tile_auroc_change: float
    """Engine less checkpoint."""
    regions_found_change: int
    false_alarms_change: int
    """On the good test images."""


class ParityResult(Settings):
    """Outcome of the parity gate for one engine variant, on the golden tiles and beyond them."""

    runtime: str
    precision: str
    max_abs_logit_error: float
    mean_abs_logit_error: float
    p99_abs_logit_error: float | None = None
    """99 % of the golden cells differ by no more."""
    tolerance: float
    quantile: float = Field(default=1.0, gt=0, le=1)
    """Share of the golden cells that must keep to the tolerance."""
    alarm_cells_changed: int = Field(ge=0)
    """Golden score cells whose alarm decision at the threshold differs."""
    changed_share: float = Field(default=0.05, ge=0, le=1)
    """Share of the golden alarm cells that may."""
    good: GoodTilesParity | None = None
    labelled: LabelledParity | None = None
    passed: bool
    reasons: tuple[str, ...] = ()
    """Why it did not."""


class Manifest(Settings):
    """`manifest.json` of a bundle."""

    format_version: Literal[1]
    style: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Fabric style: the recipe's name."""
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Version of this bundle, the name of its folder."""
    created_utc: str
    """ISO 8601, UTC."""
    glass_edge_version: str
    backbone: str
    """timm name of the backbone."""
    levels: tuple[int, ...]
    """Strides of the feature levels used, px."""
    method: Literal["glass", "mahalanobis"]
    tile: TileSpec
    mm_per_px: float | None = Field(default=None, gt=0)
    """Scale the style was trained at, mm; None when it was not known."""
    smoothing_sigma_px: float = Field(ge=0)
    """Gaussian sigma applied to the logits of the strip, in camera pixels."""
    threshold: ThresholdSpec
    training_data_sha256: str
    """Fingerprint of the training images (hash of their names and hashes)."""
    metrics: dict[str, float]
    """Figures of the last evaluation, empty when none was run."""
    parity: tuple[ParityResult, ...]
    files: dict[str, str]
    """SHA-256 of each other file of the bundle, by its path inside the folder."""

    @field_validator("files")
    @classmethod
    def _safe_names(cls, files: dict[str, str]) -> dict[str, str]:
        for name, digest in files.items():
            if not is_safe_name(name):
                raise ValueError(
                    f"'{name}' is no path inside the bundle; give relative names with '/' and without '..'"
                )
            if name in (MANIFEST_NAME, MANIFEST_HASH_NAME):
                raise ValueError(f"'{name}' cannot list itself")
            if name == SIGNATURE_NAME:
                raise ValueError(f"'{name}' is made after the manifest and cannot be listed in it")
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise ValueError(f"the SHA-256 of '{name}' is '{digest}'; 64 lower-case hex digits are needed")
        return files


def is_safe_name(name: str) -> bool:
    """True when `name` is a plain relative POSIX path that stays inside the folder it is joined to."""
    path = PurePosixPath(name)
    forbidden = set("\\\0:") & set(name)
    return (
        bool(name) and not forbidden and not path.is_absolute() and ".." not in path.parts and str(path) == name != "."
    )
