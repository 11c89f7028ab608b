"""Does what the camera sees still fit what was calibrated?

Promises: each alarm has a fixed name (`Alarm`), the figure it rests on, its limit, and what to do; no alarm rests on
something that could not be measured (cloth without rhythm raises none of scale), except that a rhythm which was there
and is gone along the web is `scale_along`. A pure function.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.cloth_look import ClothLook, Seen, zone_array
from glass_edge.calibration.weave_spectrum import likeness, scale_ratio
from glass_edge.config.fit_check import CheckLimits


class Alarm(StrEnum):
    """Names of what does not fit any more."""

    FOCUS = "focus"
    BRIGHTNESS = "brightness"
    SHADING = "shading"
    SCALE_ALONG = "scale_along"
    SCALE_ACROSS = "scale_across"
    WEAVE = "weave"
    CLOTH = "cloth"


@dataclass(frozen=True, slots=True)
class Finding:
    """An alarm, with its figure and in words."""

    alarm: Alarm
    value: float
    limit: float
    message: str


def check_fit(seen: Seen, look: ClothLook, limits: CheckLimits | None = None) -> tuple[Finding, ...]:
    """Alarms of one picture against its style's look, none when all fits."""
    limits = limits or CheckLimits()
    return (*_scale(seen, look, limits), *_light(seen, look, limits), *_focus(seen, look, limits))


def no_cloth(why: str) -> Finding:
    """The alarm of a picture that shows no cloth to measure, which `look_at` refused with the sentence `why`."""
    return Finding(Alarm.CLOTH, 0.0, 0.0, why)


def _scale(seen: Seen, look: ClothLook, limits: CheckLimits) -> list[Finding]:
    found = []
    known = look.weave
    ratio_along = scale_ratio(seen.weave.along, known.along)
    ratio_across = scale_ratio(seen.weave.across, known.across)
    for alarm, ratio, least, pitch, unit, remedy in (
        (
            Alarm.SCALE_ALONG,
            ratio_along,
            (1 + limits.scale_along) * (1 + look.spread_along) - 1,
            look.pitch_along_lines,
            "lines",
            "encoder, divider and mm_per_line, and that this is the style's cloth",
        ),
        (
            Alarm.SCALE_ACROSS,
            ratio_across,
            (1 + limits.scale_across) * (1 + look.spread_across) - 1,
            look.pitch_across_px,
            "px",
            "the camera's distance, lens and mm_per_px, and that this is the style's cloth",
        ),
    ):
        if pitch is None:
            continue
        if ratio is None:
            if alarm is Alarm.SCALE_ALONG and seen.weave.pitch_across_px is not None:
                text = f"no rhythm along the web where {pitch:.2f} lines a repeat are known; check {remedy}"
                found.append(Finding(alarm, float("inf"), least, text))
            continue
        if abs(np.log(ratio)) > np.log1p(least):
            text = (
                f"{pitch * ratio:.2f} {unit} a repeat of the weave where {pitch:.2f} are known ({ratio:.3f} times, "
                f"{100 * least:.0f} % allowed); check {remedy}"
            )
            found.append(Finding(alarm, ratio, least, text))
    if look.pitch_along_lines is None and look.pitch_across_px is None:
        return found
    like = likeness(seen.weave, known, ratio_across=ratio_across or 1.0, ratio_along=ratio_along or 1.0)
    if like is not None and like < limits.weave:
        text = (
            f"only {100 * like:.0f} % of the known weave's rhythm is seen ({100 * limits.weave:.0f} % needed); check "
            "that this is the style's cloth with the right side up, and that it lies flat"
        )
        found.append(Finding(Alarm.WEAVE, like, limits.weave, text))
    return found


def _light(seen: Seen, look: ClothLook, limits: CheckLimits) -> list[Finding]:
    found = []
    figures = seen.figures
    change = figures.mean_grey / max(look.mean_grey, 1.0)
    allowed = (1 + limits.brightness) * (1 + look.spread_brightness) - 1
    if abs(np.log(max(change, 1e-3))) > np.log1p(allowed):
        text = (
            f"mean grey {figures.mean_grey:.0f} where {look.mean_grey:.0f} is known ({100 * allowed:.0f} % allowed); "
            "check lamp, exposure, aperture and dirt on the glass"
        )
        found.append(Finding(Alarm.BRIGHTNESS, change, allowed, text))
    elif figures.saturated_share > look.saturated_share + limits.saturated:
        text = (
            f"{100 * figures.saturated_share:.1f} % of the cloth is saturated where {100 * look.saturated_share:.1f} % "
            "is known; lower exposure or lamp"
        )
        found.append(Finding(Alarm.BRIGHTNESS, figures.saturated_share, look.saturated_share + limits.saturated, text))
    ratio = figures.zone_grey / figures.mean_grey / zone_array(look.zone_grey)
    ratio /= np.nanmedian(ratio) if np.isfinite(ratio).any() else 1.0
    zone, worst = _worst(np.abs(np.log(ratio)))
    allowed = (1 + limits.shading) * (1 + look.spread_shading) - 1
    if worst > np.log1p(allowed):
        text = (
            f"zone {zone + 1} of {len(ratio)} from the left has {ratio[zone]:.2f} times its share of the light "
            f"({100 * allowed:.0f} % allowed); check lamps and glass there, then measure the flat field again"
        )
        found.append(Finding(Alarm.SHADING, float(ratio[zone]), allowed, text))
    return found


def _focus(seen: Seen, look: ClothLook, limits: CheckLimits) -> list[Finding]:
    ratio = seen.figures.zone_sharpness / zone_array(look.zone_sharpness)
    if not np.isfinite(ratio).any():
        return []
    middle = float(np.nanmedian(ratio))
    zone, worst = _worst(-ratio)
    if middle >= 1 - limits.focus and -worst >= 1 - 1.5 * limits.focus:
        return []
    text = (
        f"sharpness is {middle:.2f} times what is known, {-worst:.2f} in zone {zone + 1} of {len(ratio)} from the left "
        f"({1 - limits.focus:.2f} needed); check focus, the cloth's distance, vibration and the exposure time"
    )
    return [Finding(Alarm.FOCUS, middle, 1 - limits.focus, text)]


def _worst(values: NDArray[np.float64]) -> tuple[int, float]:
    """Where the largest is and what it is, NaN left out; (0, -inf) when all are."""
    filled = np.where(np.isnan(values), -np.inf, values)
    zone = int(np.argmax(filled))
    return zone, float(filled[zone])
