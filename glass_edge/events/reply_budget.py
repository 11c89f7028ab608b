"""A token bucket for replies: how much of the publisher's time those who ask may take.

Promises: over any stretch of t seconds at most `bytes_per_s` * t bytes of replies, plus the burst and one reply, are
granted; a small reply counts as `LEAST_BYTES`, since answering it takes time too. Turner, "New directions in
communications (or which way to the information age?)", IEEE Communications Magazine 24(10), 1986.
"""

from __future__ import annotations

LEAST_BYTES = 16 * 1024
_BURST_S = 0.25


class ReplyBudget:
    """One bucket for all peers; the ROUTER socket takes their requests in turn, which shares it evenly.

    Args:
        bytes_per_s: rate, bytes/s.
        now_s: a clock that never jumps, s.
    """

    def __init__(self, bytes_per_s: float, now_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._most = bytes_per_s * _BURST_S
        self._tokens = self._most
        self._refilled_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Time until the next reply may be made, s; 0 now."""
        self._tokens = min(self._most, self._tokens + (now_s - self._refilled_s) * self._bytes_per_s)
        self._refilled_s = now_s
        return max(0.0, -self._tokens / self._bytes_per_s)

    def spend(self, reply_bytes: int) -> None:
        """A reply of this size was made."""
        self._tokens -= max(reply_bytes, LEAST_BYTES)
