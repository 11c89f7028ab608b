"""How a style looks at a station when all is well, kept to be compared with later.

Promises: a `ClothLook` is made of pictures that agree with each other in scale (others are refused, by name); the file
holds numbers only, no picture; what is read was written by this format and is complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from glass_edge.calibration.documents import load_document
from glass_edge.calibration.figures import ZONES, Figures, measure_figures
from glass_edge.calibration.selvedge import NoClothError, find_cloth_span
from glass_edge.calibration.weave_spectrum import LEAST_LINES, WINDOW_PX, Weave, measure_weave, scale_ratio
from glass_edge.config.base import Settings
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.files import write_json

_MARGIN_PX = 8
_MOST_DISAGREEMENT = 0.15
_MOST_LINES = 2048
_Rhythm = Annotated[tuple[float, ...], Field(min_length=WINDOW_PX // 2 + 1, max_length=WINDOW_PX // 2 + 1)]
_Zones = Annotated[tuple[float | None, ...], Field(min_length=ZONES, max_length=ZONES)]


class ClothLook(Settings):
    """A style as one station's camera sees it."""

    format: Literal[1] = 1
    """Version of this file."""
    kind: Literal["cloth-look"] = "cloth-look"
    """What the file is."""
    style: str = ""
    """Name of the style."""
    width_px: int = Field(ge=LEAST_LINES)
    """Pixels of the line."""
    flat_field_sha256: str = ""
    """The flat field the pictures were corrected with, empty for none."""
    mean_grey: float = Field(ge=0, le=255)
    """Mean grey of the cloth."""
    saturated_share: float = Field(ge=0, le=1)
    """Largest share of saturated pixels of the cloth."""
    zone_grey: _Zones
    """Mean grey of each zone over that of the cloth."""
    zone_sharpness: _Zones
    """Sharpness of each zone."""
    rhythm_along: _Rhythm
    """Rhythm of the weave along the web."""
    rhythm_across: _Rhythm
    """Rhythm across it."""
    peaks: tuple[tuple[float, float, float], ...]
    """Peaks of the weave's spectrum."""
    pitch_along_lines: float | None
    """Lines a repeat of the strongest rhythm along; null: none is seen."""
    pitch_across_px: float | None
    """Pixels a repeat across; null: none is seen."""
    spread_along: float = Field(default=0.0, ge=0)
    """Largest relative deviation of the scale along between the pictures."""
    spread_across: float = Field(default=0.0, ge=0)
    """The same across."""
    spread_brightness: float = Field(default=0.0, ge=0)
    """Largest relative deviation of the mean grey between the pictures."""
    spread_shading: float = Field(default=0.0, ge=0)
    """Largest relative deviation of a zone's share of the light between the pictures."""
    references: dict[str, str] = Field(default_factory=dict)
    """Name and SHA-256 of each picture."""
    created_utc: str = ""
    """When they were measured."""

    @property
    def weave(self) -> Weave:
        """The rhythm of the cloth."""
        peaks = np.array(self.peaks, dtype=np.float64).reshape(-1, 3)
        return Weave(np.array(self.rhythm_along), np.array(self.rhythm_across), peaks)

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically."""
        write_json(path, self.model_dump(mode="json"))


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture, measured."""

    span: ClothSpan
    figures: Figures
    weave: Weave


def look_at(lines: NDArray[np.uint8]) -> Seen:
    """Measure a picture of cloth, uint8 (128 or more lines, width) grey or (..., 3) RGB.

    Raises:
        InputError: too small, or no cloth in it.
    """
    if lines.ndim not in (2, 3) or len(lines) < LEAST_LINES:
        raise InputError(f"{len(lines)} lines are too few; give pictures of {LEAST_LINES} lines or more")
    start = max(0, (len(lines) - _MOST_LINES) // 2)
    lines = lines[start : start + _MOST_LINES]
    try:
        span = find_cloth_span(lines, margin_px=_MARGIN_PX, least_width_px=LEAST_LINES)
        weave = measure_weave(lines[:, span.left_px : span.right_px])
        return Seen(span, measure_figures(lines, span), weave)
    except (NoClothError, ValueError) as error:
        raise InputError(str(error)) from error


def learn_look(
    pictures: Mapping[str, Seen], width_px: int, *, style: str = "", flat_field_sha256: str = "", created_utc: str = ""
) -> ClothLook:
    """Look of a style from measured pictures of good cloth, by name.

    Raises:
        InputError: there is none, or their scales differ from each other by more than 15 %.
    """
    if not pictures:
        raise InputError("no picture; give some of good cloth of the style")
    names, seen = list(pictures), list(pictures.values())
    spreads = []
    for direction in ("along", "across"):
        rhythms = [getattr(one.weave, direction) for one in seen]
        ratios = np.array([scale_ratio(rhythm, rhythms[0]) or np.nan for rhythm in rhythms])
        deviation = np.abs(np.log(ratios / np.nanmedian(ratios))) if np.isfinite(ratios).any() else np.zeros(1)
        far = np.flatnonzero(deviation > np.log1p(_MOST_DISAGREEMENT))
        if len(far):
            listed = ", ".join(f"{names[k]} ({ratios[k] / np.nanmedian(ratios):.2f})" for k in far[:4])
            more = " and more" if len(far) > 4 else ""
            raise InputError(
                f"the weave's scale {direction} the web is another in {listed}{more} than in the other pictures: they "
                "were not taken at one line rate to cloth speed, or are of other cloth; "
                "leave them out"
            )
        spreads.append(float(np.nanmax(np.expm1(deviation), initial=0.0)))
    along = np.mean([one.weave.along for one in seen], axis=0)
    across = np.mean([one.weave.across for one in seen], axis=0)
    mean = Weave(along, across, seen[0].weave.peaks)
    greys = np.array([one.figures.mean_grey for one in seen])
    shares = [one.figures.zone_grey / one.figures.mean_grey for one in seen]
    share = _zones(shares)
    away = np.abs(np.log(np.array(shares) / zone_array(share)))
    return ClothLook(
        style=style,
        width_px=width_px,
        flat_field_sha256=flat_field_sha256,
        mean_grey=float(greys.mean()),
        saturated_share=float(np.max([one.figures.saturated_share for one in seen])),
        zone_grey=share,
        zone_sharpness=_zones([one.figures.zone_sharpness for one in seen]),
        rhythm_along=tuple(float(f"{value:.6g}") for value in along),
        rhythm_across=tuple(float(f"{value:.6g}") for value in across),
        peaks=tuple((float(a), float(b), float(f"{c:.4g}")) for a, b, c in mean.peaks),
        pitch_along_lines=mean.pitch_along_lines,
        pitch_across_px=mean.pitch_across_px,
        spread_along=spreads[0],
        spread_across=spreads[1],
        spread_brightness=float(np.expm1(np.abs(np.log(greys / greys.mean())).max())),
        spread_shading=float(np.expm1(np.nanmax(away))),
        created_utc=created_utc,
    )


def _zones(values: list[NDArray[np.float64]]) -> tuple[float | None, ...]:
    stack = np.array(values)
    seen = ~np.isnan(stack)
    total = np.where(seen, stack, 0).sum(axis=0)
    return tuple(
        float(f"{one / count:.5g}") if count else None for one, count in zip(total, seen.sum(axis=0), strict=True)
    )


def zone_array(zones: tuple[float | None, ...]) -> NDArray[np.float64]:
    """Figures of zones as float64 (ZONES,), NaN where there is none."""
    return np.array([np.nan if one is None else one for one in zones])


def load_look(path: Path) -> ClothLook:
    """Read a style's look.

    Raises:
        InputError: missing, or no look.
    """
    return load_document(
        path, ClothLook, what="the look of a style", remedy="make it with `glass-edge calibrate learn`"
    )
