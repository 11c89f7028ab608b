"""Pauses between tries.

Promises: the pause doubles from the first up to the longest and never passes that; half of it is random, so that
adapters that lost the same server do not come back in step.
"""

from __future__ import annotations

import random

from glass_edge.config.adapters import RetrySettings

_MOST_DOUBLINGS = 30


class Backoff:
    """Exponential pauses with equal jitter (M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015).

    Args:
        settings: first and longest pause.
        chance: source of the jitter.
    """

    def __init__(self, settings: RetrySettings, chance: random.Random) -> None:
        self._settings = settings
        self._chance = chance
        self._failures = 0

    def pause_s(self, asked_s: float | None = None) -> float:
        """The pause after one more failure, s; at least `asked_s`, as far as the longest allows."""
        full_s = min(self._settings.most_s, self._settings.first_s * 2.0 ** min(self._failures, _MOST_DOUBLINGS))
        self._failures += 1
        drawn_s = full_s / 2 + self._chance.uniform(0, full_s / 2)
        return min(self._settings.most_s, max(drawn_s, asked_s or 0.0))
