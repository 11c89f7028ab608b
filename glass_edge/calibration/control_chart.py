"""Control charts of a figure that is measured once a roll: has its level changed, does it creep away?

Promises: pure functions; nothing is said before the baseline is complete, and what a short baseline leaves uncertain
widens the limits: a chart with few rolls alarms no more often by chance, it only sees less. A few odd rolls in the
baseline (fewer than half) are left out of it.

How: the individuals chart sees a level that jumps, the exponentially weighted moving average (EWMA) one that creeps
(Roberts, "Control chart tests based on geometric moving averages", Technometrics 1, 1959; Montgomery, "Introduction to
Statistical Quality Control", 6.4 and 9.2). The spread is the larger of the standard deviation and of the mean moving
range over 1.128. Odd rolls are those further from the median than 4 times the scaled median deviation (Hampel's
identifier: Davies and Gather, "The identification of multiple outliers", JASA 88, 1993).

Limits are those of a prediction from n rolls: Student's t in place of the normal distribution, the variance of the
baseline's mean added. Rolls of one lot of yarn are alike, and taken for independent they would alarm at each new lot:
their correlation is taken from the baseline's successive differences (von Neumann, Annals of Mathematical Statistics
12, 1941), and the rolls that the mean and the spread count for (Bayley and Hammersley, "The effective number of
independent observations in an autocorrelated time series", JRSS Supplement 8, 1946) and the variance of the average
are those of a process with it (Zhang, "A statistical control chart for stationary process data", Technometrics 40,
1998). What goes into the average is cut off at the limits of the individuals chart, so that one odd roll does not look
like a trend for long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RANGE_TO_SIGMA = 1.128  # d2 of two values
_MAD_TO_SIGMA = 1.4826
_ODD = 4.0
_MOST_CORRELATION = 0.8
_LEAST_ROLLS, _LEAST_FREEDOM = 4.0, 5.0  # that correlated rolls count for


@dataclass(frozen=True, slots=True)
class ChartRules:
    """Limits of both charts.

    Attributes:
        level_sigmas: of the individuals chart, in standard deviations of a known normal distribution.
        trend_sigmas: of the EWMA, in its own.
        trend_weight: weight of the newest value, above 0 to 1.
        clear_rolls: values in a row within both limits after which a figure is in control again.
    """

    level_sigmas: float
    trend_sigmas: float
    trend_weight: float
    clear_rolls: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """How a figure was in the first rolls.

    Attributes:
        centre: mean of the rolls that are not odd.
        sigma: spread of single rolls, above 0.
        correlation: of a roll with the next, 0 or more.
        rolls: independent rolls that those count for in the centre which are not odd.
        freedom: degrees of freedom of the spread.
        is_odd: which are, bool (values,).
    """

    centre: float
    sigma: float
    correlation: float
    rolls: float
    freedom: float
    is_odd: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """A value after the baseline.

    Attributes:
        value: of the roll.
        trend: average up to it.
        trend_reach: how far the average may be from the centre.
        is_level_out, is_trend_out: which chart it leaves.
        is_alarm: the figure is out of control since this or an earlier roll.
    """

    value: float
    trend: float
    trend_reach: float
    is_level_out: bool
    is_trend_out: bool
    is_alarm: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """Both charts of a figure.

    Attributes:
        baseline: what it is compared with.
        level_reach: how far a single value may be from the centre.
        points: the values after the baseline, in order.
    """

    baseline: Baseline
    level_reach: float
    points: tuple[ChartPoint, ...]

    @property
    def is_alarm(self) -> bool:
        """The figure is out of control at the last roll."""
        return bool(self.points) and self.points[-1].is_alarm


def baseline_of(values: Sequence[float], least_sigma: float) -> Baseline:
    """The baseline of three or more finite values in order of time.

    Args:
        values: a roll each.
        least_sigma: a spread below this is taken for this, above 0: no chart is finer than what matters.

    Raises:
        ValueError: there are fewer values, or some are not finite.
    """
    all_values = np.asarray(values, dtype=np.float64)
    if len(all_values) < 3 or not np.isfinite(all_values).all():
        raise ValueError(f"{len(all_values)} values; 3 or more finite ones are needed")
    away = np.abs(all_values - np.median(all_values))
    is_odd = away > _ODD * max(_MAD_TO_SIGMA * float(np.median(away)), least_sigma)
    kept = all_values[~is_odd]
    n, steps, deviation = len(kept), np.diff(kept), float(kept.std(ddof=1))
    correlation = 0.0
    if deviation > least_sigma:
        correlation = min(max(0.0, 1 - float((steps**2).mean()) / (2 * deviation**2)), _MOST_CORRELATION)
    longer = (1 + correlation) / (1 - correlation)
    rolls = max(n / longer, min(float(n), _LEAST_ROLLS))
    freedom = n * (1 - correlation**2) / (1 + correlation**2) - 1
    freedom = max(freedom, min(n - 1.0, _LEAST_FREEDOM))
    # rolls that are alike spread less than their process does
    deviation /= math.sqrt(max(1 - (longer - 1) / n, 0.5))
    spread = max(deviation, float(np.abs(steps).mean()) / _RANGE_TO_SIGMA, least_sigma)
    return Baseline(float(kept.mean()), spread, correlation, rolls, freedom, is_odd)


def draw_chart(baseline: Baseline, values: Sequence[float], rules: ChartRules, *, upper_only: bool = False) -> Chart:
    """Judge the finite values that follow a baseline, in order of time; with `upper_only` none is too low."""
    weight, centre, rolls = rules.trend_weight, baseline.centre, baseline.rolls
    level_reach = baseline.sigma * student_limit(rules.level_sigmas, baseline.freedom) * math.sqrt(1 + 1 / rolls)
    trend_limit = baseline.sigma * student_limit(rules.trend_sigmas, baseline.freedom)
    lasting = baseline.correlation * (1 - weight)
    most_variance = weight / (2 - weight) * (1 + lasting) / (1 - lasting)
    trend, points = 0.0, list[ChartPoint]()
    is_alarm, n_clear = False, 0
    for number, value in enumerate(values, start=1):
        away = value - centre
        trend += weight * (min(max(away, -level_reach), level_reach) - trend)
        variance = most_variance * (1 - (1 - weight) ** (2 * number))
        trend_reach = trend_limit * math.sqrt(variance + 1 / rolls)
        is_level_out, is_trend_out = abs(away) > level_reach, abs(trend) > trend_reach
        if upper_only:
            is_level_out, is_trend_out = is_level_out and away > 0, is_trend_out and trend > 0
        n_clear = 0 if is_level_out or is_trend_out else n_clear + 1
        is_alarm = n_clear == 0 or (is_alarm and n_clear < rules.clear_rolls)
        points.append(ChartPoint(value, centre + trend, trend_reach, is_level_out, is_trend_out, is_alarm))
    return Chart(baseline, level_reach, tuple(points))


def student_limit(sigmas: float, freedom: float) -> float:
    """The limit of Student's t that is exceeded as rarely as `sigmas` by a normal value.

    By the approximation of Wallace ("Bounds on normal approximations to Student's and the chi-square distributions",
    Annals of Mathematical Statistics 30, 1959): never too narrow, and up to 5 sigmas 2 % too wide at most for 9 or more
    degrees of freedom, 10 % for 5.

    Args:
        sigmas: two-sided limit of a normal value.
        freedom: degrees of freedom, 1 or more.
    """
    scaled = sigmas * (8 * freedom + 3) / (8 * freedom + 1)
    return math.sqrt(freedom * math.expm1(scaled**2 / freedom))
