"""Log lines that say the same again and again.

Promises: a line of one key comes at once, then at most once a minute, and says how many were held back; the memory is
bounded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)
_EVERY_S = 60.0
_MOST_KEYS = 100


class RepeatedLog:
    """Warnings of one adapter.

    Args:
        adapter: its name, in every line.
        clock: monotonic seconds.
    """

    def __init__(self, adapter: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._adapter = adapter
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def tell(self, key: str, text: str) -> bool:
        """Log `text` unless a line of `key` came within the last minute; True when it was logged."""
        now_s = self._clock()
        last_s, held_back = self._seen.get(key, (-math.inf, 0))
        if now_s - last_s < _EVERY_S:
            self._seen[key] = (last_s, held_back + 1)
            return False
        self._seen.pop(key, None)
        while len(self._seen) >= _MOST_KEYS:
            self._seen.pop(next(iter(self._seen)))
        self._seen[key] = (now_s, 0)
        more = {"held_back": held_back} if held_back else {}
        _log.warning(text, adapter=self._adapter, **more)
        return True
