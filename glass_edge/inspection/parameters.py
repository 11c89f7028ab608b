"""What the trained style and the station together say about how to inspect.

Promises: a value set at the station wins over the bundle's; an engine of another tile than the bundle's is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.base import Engine, EngineFacts, TileShapeError
from glass_edge.engine.manifest import Manifest, ThresholdSpec
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.selvedge_zone import SelvedgeZone

SpanFinder = Callable[[NDArray[np.uint8]], ClothSpan]
"""Finds the cloth in lines uint8 (n, width[, 3]), n at least 16; raises a GlassEdgeError when there is none."""


@dataclass(frozen=True, slots=True)
class StyleParameters:
    """What belongs to the trained style.

    Attributes:
        style: name of the recipe.
        halo_px: border of a tile whose scores are not used.
        smoothing_sigma_px: Gaussian sigma on the strip, camera px.
        threshold_logit: alarm threshold on the smoothed logit.
        selvedge: where it is higher.
    """

    style: str
    halo_px: int
    smoothing_sigma_px: float
    threshold_logit: float
    selvedge: SelvedgeZone | None = None


@dataclass(frozen=True, slots=True)
class ActiveEngine:
    """An engine that decides, as it is told of.

    Attributes:
        version: of its bundle.
        model_sha256: of its graph, before it was compiled.
        facts: what computes.
        stride_px: pixels of a score cell.
        parameters: by what it decides.
        promised_per_100m: false alarms in 100 m that it promises at most; None: it promises none.
    """

    version: str
    model_sha256: str
    facts: EngineFacts
    stride_px: int
    parameters: StyleParameters
    promised_per_100m: float | None = None


def active_engine(manifest: Manifest, model_sha256: str, engine: Engine, settings: InspectionSettings) -> ActiveEngine:
    """A bundle's engine with the station's overrides.

    Raises:
        TileShapeError: the engine was built for another tile than the manifest names.
    """
    return ActiveEngine(
        manifest.version,
        model_sha256,
        engine.facts,
        engine.score_stride_px,
        style_parameters(manifest, engine, settings),
        promised_per_100m(manifest, settings),
    )


def style_parameters(manifest: Manifest, engine: Engine, settings: InspectionSettings) -> StyleParameters:
    """Parameters of a bundle with the station's overrides.

    Raises:
        TileShapeError: the engine was built for another tile than the manifest names.
    """
    tile = manifest.tile
    built = (engine.tile_height_px, engine.tile_width_px, engine.channels, engine.score_stride_px)
    named = (tile.height_px, tile.width_px, tile.channels, tile.score_stride_px)
    if built != named:
        raise TileShapeError(
            f"bundle {manifest.style}/{manifest.version} names tiles of {named} (height, width, channels, stride) and "
            f"its engine was built for {built}; build the bundle again"
        )
    sigma, threshold = settings.smoothing_sigma_px, settings.threshold_logit
    return StyleParameters(
        style=manifest.style,
        halo_px=tile.halo_px,
        smoothing_sigma_px=manifest.smoothing_sigma_px if sigma is None else sigma,
        threshold_logit=manifest.threshold.logit if threshold is None else threshold,
        selvedge=selvedge_zone(manifest.threshold),
    )


def promised_per_100m(manifest: Manifest, settings: InspectionSettings) -> float | None:
    """False alarms in 100 m that the bundle promises, as far as the station's overrides leave the promise whole."""
    promise, own = manifest.threshold.promise, settings.threshold_logit
    if promise is None or (own is not None and own < manifest.threshold.logit):
        return None
    other_sigma = settings.smoothing_sigma_px not in (None, manifest.smoothing_sigma_px)
    return None if other_sigma or settings.gap_mm < promise.gap_mm else promise.high_per_100m


def selvedge_zone(threshold: ThresholdSpec) -> SelvedgeZone | None:
    """Where the threshold is higher; None: it is the same everywhere."""
    selvedge = threshold.selvedge
    return None if selvedge is None else SelvedgeZone(selvedge.zone_px, selvedge.offset_logit)


def inspected_span(
    cloth: ClothSpan, image_width_px: int, margin_mm: float, scale: WebScale, *, halo_px: int, stride_px: int
) -> ClothSpan:
    """The columns whose scores count: whole cells that lie deep enough inside the cloth.

    A cell nearer to a selvedge than the halo sees what lies beside the cloth, and one nearer to the image's edge sees
    cloth that is not there; neither says anything. So the margin is the halo, and at a selvedge `margin_mm` if longer.

    Args:
        cloth: selvedge to selvedge, or to the image's edge where the cloth leaves the picture.
        image_width_px: pixels of a line.
        margin_mm: strip inside each selvedge that is not inspected, mm.
        scale: size of a pixel.
        halo_px: of the bundle.
        stride_px: pixels of a score cell.

    Raises:
        InputError: the cloth reaches beyond the image, or the margins leave no cell.
    """
    if cloth.right_px > image_width_px:
        raise InputError(
            f"cloth span [{cloth.left_px}, {cloth.right_px}) px reaches beyond the camera line of {image_width_px} px"
        )
    margin_px = max(halo_px, math.ceil(margin_mm / scale.mm_per_px - 1e-9))
    left = cloth.left_px + (margin_px if cloth.left_px > 0 else halo_px)
    right = cloth.right_px - (margin_px if cloth.right_px < image_width_px else halo_px)
    left, right = -(-left // stride_px) * stride_px, right // stride_px * stride_px
    if left >= right:
        raise InputError(
            f"nothing is left of cloth {cloth.width_px} px ({cloth.width_px * scale.mm_per_px:.1f} mm) wide inside the "
            f"engine's halo of {halo_px} px and selvedge_margin_mm = {margin_mm:g}; use wider images, a smaller margin "
            "or an engine with a smaller halo"
        )
    return ClothSpan(left, right)


def followed_span(
    inspected: ClothSpan,
    cloth: ClothSpan,
    image_width_px: int,
    wander_mm: float,
    scale: WebScale,
    *,
    halo_px: int,
    stride_px: int,
) -> ClothSpan:
    """The columns that tiles must cover so that the cloth may wander by `wander_mm` to either side, whole cells.

    Args:
        inspected: what is inspected now, see `inspected_span`.
        cloth: where the cloth lies now; a side where it leaves the image has no selvedge to follow.
        image_width_px: pixels of a line.
        wander_mm: way of a selvedge, mm.
        scale: size of a pixel.
        halo_px, stride_px: of the bundle.
    """
    wander_px = math.ceil(wander_mm / scale.mm_per_px)
    first = -(-halo_px // stride_px) * stride_px
    last = (image_width_px - halo_px) // stride_px * stride_px
    left, right = inspected.left_px, inspected.right_px
    if cloth.left_px > 0:
        left = min(left, max(first, (left - wander_px) // stride_px * stride_px))
    if cloth.right_px < image_width_px:
        right = max(right, min(last, -(-(right + wander_px) // stride_px) * stride_px))
    return ClothSpan(left, right)
