"""A camera's scale from the marks of a target.

Promises: `measure_scale` returns a map whose residuals are known and small, or a `TargetError` with the reason. The
target may lie turned by up to 3 degrees and mirrored, and need not fill the line.

Model: a target turned by t against the camera's line shows at column c and line r the millimetres
    X = cos t * s(c) + q r + const      (bars)
    Y = -sin t * s(c) + cos t * a r     (ladder),
s the map sought, a the advance a line. P = cos t * s and q are fitted together to the bars by least squares, P a
polynomial of degree 5 (3 or 1 with few bars), with points beyond 4 sigma taken out; the ladder then gives tan t and a.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.line_scale import LineScale
from glass_edge.calibration.target import LEAST_BARS, Target
from glass_edge.calibration.target_reader import Points, Reading, read_target
from glass_edge.errors import InputError

_MOST_TURN_DEG = 3.0
_LEAST_SHARE = 0.5
_MOST_RESIDUAL_PX = 0.5
_ROUNDS = 4


class TargetError(InputError):
    """The picture does not give a scale; the message says why and what to do."""


def measure_scale(
    image: NDArray[np.uint8],
    target: Target,
    *,
    camera_model: str = "",
    camera_serial: str = "",
    created_utc: str = "",
    references: dict[str, str] | None = None,
) -> LineScale:
    """Scale of the camera that took `image`, uint8 (n_lines, width) or (n_lines, width, 3).

    Raises:
        TargetError: the code or the ladder is not read, covers too little, lies too crooked, or does not fit.
    """
    reading = read_target(image, target)
    width = int(image.shape[1])
    count = _check(reading, target, image)
    sign = -1.0 if reading.mirrored else 1.0
    degree = 5 if count >= 24 else 3 if count >= LEAST_BARS else 1
    fit = _fit_bars(reading.bars, target, width, degree, sign)
    coefficients, drift, away_px, kept = fit
    turn, advance, along_px = _fit_ladder(reading.ladder, target, coefficients, width)
    if abs(np.degrees(np.arctan(turn))) > _MOST_TURN_DEG:
        raise TargetError(
            f"the target lies turned by {np.degrees(np.arctan(turn)):.1f} degrees against the camera's line; "
            f"lay it straight (at most {_MOST_TURN_DEG:g} degrees)"
        )
    straight = np.sqrt(1 + turn * turn)  # 1 / cos t
    bars = reading.bars.column_px[kept]
    beyond_px = float(bars.max() - bars.min()) / count  # the polynomial is trusted for one bar more
    rms, largest = _per_bar(reading.bars.number[kept], away_px)
    if rms > _MOST_RESIDUAL_PX:
        raise TargetError(
            f"the bars deviate from a smooth map by {rms:.2f} px on average; lay the target flat, take the lines "
            "evenly (line trigger by the encoder), and give the .json of this very print"
        )
    mm = coefficients * straight
    u_ends = np.polynomial.polynomial.polyval(np.array([-1.0, 1.0]), mm)
    try:
        scale = LineScale(
            width_px=width,
            mm_per_px=float(u_ends[1] - u_ends[0]) / width,
            mm_per_line=advance * straight,
            coefficients=tuple(float(value) for value in mm),
            first_px=max(0.0, float(bars.min()) - beyond_px),
            last_px=min(float(width), float(bars.max()) + beyond_px),
            mirrored=reading.mirrored,
            bars=count,
            residual_rms_px=rms,
            residual_max_px=largest,
            residual_along_rms_px=along_px,
            rotation_deg=float(np.degrees(np.arctan(turn))),
            skew_deg=float(np.degrees(np.arctan(drift / advance) - np.arctan(turn))),
            camera_model=camera_model,
            camera_serial=camera_serial,
            created_utc=created_utc,
            references=references or {},
        )
    except ValueError as error:
        raise TargetError(f"the bars give no sensible map ({error}); take the picture again") from error
    ends = scale.across_mm([0.0, float(width)])  # beyond the outermost bars the map is straight, the polynomial is not
    return scale.model_copy(update={"mm_per_px": float(ends[1] - ends[0]) / width})


def _check(reading: Reading, target: Target, image: NDArray[np.uint8]) -> int:
    """Number of bars seen."""
    hint = f"{image.shape[1]} px x {image.shape[0]} lines"
    count = len(np.unique(reading.bars.number))
    if count < LEAST_BARS:
        raise TargetError(
            f"the code of the target is not found in {hint}: {LEAST_BARS} or more neighbouring bars must be seen "
            f"sharp, 6 px apart or more, dark on white, and be those of this target ({target.bars} bars, "
            f"{target.pitch_mm:g} mm); check focus, light and --target"
        )
    if len(np.unique(reading.ladder.number)) < 5:
        raise TargetError(
            f"the ladder along the web is not found in {hint}: the picture must hold the wide middle line and lines "
            "on both sides, 6 lines apart or more; move the target evenly through the whole picture"
        )
    seen = reading.bars.column_px
    share = float(seen.max() - seen.min()) / image.shape[1]
    if share < _LEAST_SHARE:
        raise TargetError(
            f"the target covers {100 * share:.0f} % of the line (columns {seen.min():.0f} to {seen.max():.0f}); "
            "print one that covers the whole line, half of it at least"
        )
    return count


def _fit_bars(
    points: Points, target: Target, width_px: int, degree: int, sign: float
) -> tuple[NDArray[np.float64], float, NDArray[np.float64], NDArray[np.bool_]]:
    """Coefficients of P (mm), drift q (mm a line), residuals (px) of the points kept, and which they are."""
    u = 2 * points.column_px / width_px - 1
    middle = points.line_px.mean()
    matrix = np.column_stack([np.polynomial.polynomial.polyvander(u, degree), points.line_px - middle])
    wanted = sign * points.number * target.bar_pitch_mm
    kept = np.ones(len(wanted), dtype=np.bool_)
    solution = np.zeros(degree + 2)
    away = np.zeros(len(wanted))
    for _ in range(_ROUNDS):
        solution = np.linalg.lstsq(matrix[kept], wanted[kept], rcond=None)[0]
        away = wanted - matrix @ solution
        spread = 1.4826 * float(np.median(np.abs(away[kept])))
        kept = np.abs(away) <= max(4 * spread, 1e-9)
    slope = np.polynomial.polynomial.polyval(u, np.polynomial.polynomial.polyder(solution[:-1])) * 2 / width_px
    return solution[:-1], float(solution[-1]), (away / slope)[kept], kept


def _fit_ladder(
    points: Points, target: Target, coefficients: NDArray[np.float64], width_px: int
) -> tuple[float, float, float]:
    """Tangent of the turn, advance a line times cos t (mm), residual (lines)."""
    across = np.polynomial.polynomial.polyval(2 * points.column_px / width_px - 1, coefficients)
    wanted = points.number * target.ladder_pitch_mm
    matrix = np.column_stack([np.ones(len(wanted)), across, points.line_px])
    kept = np.ones(len(wanted), dtype=np.bool_)
    solution = np.zeros(3)
    for _ in range(_ROUNDS):
        solution = np.linalg.lstsq(matrix[kept], wanted[kept], rcond=None)[0]
        away = wanted - matrix @ solution
        kept = np.abs(away) <= max(4 * 1.4826 * float(np.median(np.abs(away[kept]))), 1e-9)
    if abs(solution[2]) < 1e-6:
        raise TargetError("the ladder does not advance along the picture; the web must move while the lines are taken")
    away = (wanted - matrix @ solution)[kept] / solution[2]
    turn = -float(solution[1] * np.sign(solution[2]))  # a ladder that counts down is seen upside down
    return turn, abs(float(solution[2])), float(np.sqrt(np.mean(away**2)))


def _per_bar(numbers: NDArray[np.int64], away_px: NDArray[np.float64]) -> tuple[float, float]:
    """Root mean square and largest of the bars' mean deviations, px."""
    _, index = np.unique(numbers, return_inverse=True)
    means = np.bincount(index, away_px) / np.bincount(index)
    return float(np.sqrt(np.mean(means**2))), float(np.abs(means).max())
