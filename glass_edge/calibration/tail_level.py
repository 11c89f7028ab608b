"""From which level up the tail of good cloth is a generalised Pareto distribution.

Promises: levels are tried from the one with most data; the first whose Anderson-Darling statistic is ordinary is
taken, and none when the statistic is beyond its 1 % point at all of them.

Choosing the level by a sequence of goodness-of-fit tests: Bader, Yan and Zhang, "Automated threshold selection for
extreme value analysis via ordered goodness-of-fit tests", Annals of Applied Statistics 12, 2018. With estimated
parameters the distribution of the statistic depends on the shape alone (Choulakian and Stephens, Technometrics 43,
2001); its points below were simulated with this fit (`python benchmarks/tail_fit.py --points`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glass_edge.calibration.tail_blocks import BlockMaxima, extremal_index
from glass_edge.calibration.tail_fit import TailFit, fit_tail, survival

SHARES = (0.5, 0.35, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05)
"""Shares of the blocks above the levels that are tried."""
LEAST_EXCEEDING = 30
"""Fewer blocks above a level carry no tail."""
_SHAPES = (-0.5, -0.25, 0.0, 0.25, 0.5)
_TEN_PERCENT = (1.37, 0.87, 0.78, 0.74, 0.69)
_ONE_PERCENT = (2.64, 1.53, 1.40, 1.32, 1.17)


@dataclass(frozen=True, slots=True)
class Level:
    """A level and how the tail above it fits.

    Attributes:
        fit: the tail.
        anderson_darling: statistic of the blocks above the level; that of blocks which depend on their neighbours is
            lowered by as much as their extremal index is below that of independent blocks.
        limit_10, limit_1: exceeded by 10 % and by 1 % of samples of such a tail.
    """

    fit: TailFit
    anderson_darling: float
    limit_10: float
    limit_1: float


def choose_level(blocks: BlockMaxima) -> Level | None:
    """The level with most data above which the tail fits; None: there is none.

    Without one that fits ordinarily (10 % point), that which fits best within the 1 % point.
    """
    tried = []
    for share in SHARES:
        if int(share * blocks.maxima.size) < LEAST_EXCEEDING:
            break
        logit = float(np.quantile(blocks.maxima, 1 - share, method="inverted_cdf"))
        if np.unique(blocks.maxima[blocks.maxima > logit]).size < LEAST_EXCEEDING // 2:
            continue  # scores that saturate have no tail
        level = judge_level(blocks, logit)
        if level.anderson_darling <= level.limit_10:
            return level
        tried.append(level)
    within = [one for one in tried if one.anderson_darling <= one.limit_1]
    return min(within, key=lambda one: one.anderson_darling / one.limit_1) if within else None


def judge_level(blocks: BlockMaxima, level_logit: float) -> Level:
    """Fit the tail above a level and say how well it fits."""
    fit = fit_tail(blocks, level_logit)
    points = (float(np.interp(fit.shape, _SHAPES, limits)) for limits in (_TEN_PERCENT, _ONE_PERCENT))
    index, by_chance = extremal_index(blocks, level_logit)
    return Level(fit, anderson_darling(blocks, fit) * min(1.0, index / by_chance), *points)


def anderson_darling(blocks: BlockMaxima, fit: TailFit) -> float:
    """Anderson-Darling statistic of the blocks above the level against the fitted distribution of their maxima."""
    above = blocks.maxima > fit.level_logit
    lengths_m = blocks.lengths_m[above]
    falls = survival(blocks.maxima[above] - fit.level_logit, fit.scale, fit.shape)
    none_at_level = np.exp(-fit.rate_per_m * lengths_m)
    below = (np.exp(-fit.rate_per_m * lengths_m * falls) - none_at_level) / (1.0 - none_at_level)
    ordered = np.clip(np.sort(below), 1e-12, 1 - 1e-12)
    n = len(ordered)
    weights = 2 * np.arange(1, n + 1) - 1
    return float(-n - np.sum(weights * (np.log(ordered) + np.log1p(-ordered[::-1]))) / n)
