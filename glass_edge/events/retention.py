"""How long events are kept.

Promises: a step deletes a bounded batch of the oldest events, so nobody waits long for it; nothing goes that was not
published, and nothing that `journal_pruning` keeps; what failed is logged and tried again later. By size the journal is
cut as soon as it is too large. By age an event goes when it and all events before it are stamped too long ago, and
never faster than four times the pace at which an even stream of events grows old: a clock that jumps ahead costs a
small part of the journal each day, not the journal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from glass_edge.events.errors import EventFormatError, JournalError
from glass_edge.events.journal import Journal
from glass_edge.events.journal_reader import Extent, JournalReader

BATCH_EVENTS = 200
_AGE_PACE = 4.0
_PUT_BY_S = 3600.0
_AGAIN_S = 0.05
_CHECK_S = 1.0
_AFTER_FAILURE_S = 60.0
_TELL_S = 3600.0
_LOG = logging.getLogger(__name__)


class Retention:
    """Keeps a journal within its limits; used by the thread that owns `reader`.

    Args:
        journal: the journal.
        reader: a read connection to it.
        keep_days: age beyond which events go, days.
        keep_mb: size of the events kept beyond which the oldest go, MB (1e6 bytes).
        now: wall clock, aware.
    """

    def __init__(
        self, journal: Journal, reader: JournalReader, *, keep_days: float, keep_mb: float, now: Callable[[], datetime]
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._keep = timedelta(days=keep_days)
        self._keep_bytes = keep_mb * 1e6
        self._now = now
        self._age_budget = 0.0  # events that may go by age now
        self._stepped_s: float | None = None
        self._told_s: float | None = None

    def step(self, published: int, monotonic_s: float) -> float:
        """Delete at most `BATCH_EVENTS` events up to number `published`.

        Args:
            published: newest event that was published.
            monotonic_s: a clock that never jumps, s.

        Returns:
            Time until the next step is due, s.
        """
        try:
            return self._step(published, monotonic_s)
        except (JournalError, EventFormatError) as error:
            _LOG.error("old events are not deleted: %s", error)
            return _AFTER_FAILURE_S

    def _step(self, published: int, monotonic_s: float) -> float:
        extent = self._reader.extent()
        self._earn(extent, monotonic_s)
        is_too_large = self._reader.used_bytes() > self._keep_bytes
        if is_too_large:
            end = extent.oldest + BATCH_EVENTS
        else:
            limit = min(BATCH_EVENTS, int(self._age_budget))
            end = self._reader.first_not_before(self._now() - self._keep, limit)
        end = min(end, published + 1)
        deleted = self._journal.forget_before(end) if end > extent.oldest else 0
        if is_too_large:
            if deleted == 0:
                self._tell_too_large(monotonic_s)
        else:
            self._age_budget -= deleted
        return _AGAIN_S if deleted else _CHECK_S

    def _earn(self, extent: Extent, monotonic_s: float) -> None:
        passed_s = 0.0 if self._stepped_s is None else monotonic_s - self._stepped_s
        self._stepped_s = monotonic_s
        kept = extent.head - extent.oldest + 1
        events_per_s = kept * _AGE_PACE / self._keep.total_seconds()
        most = max(1.0, events_per_s * _PUT_BY_S)
        self._age_budget = min(self._age_budget + events_per_s * passed_s, most)

    def _tell_too_large(self, monotonic_s: float) -> None:
        if self._told_s is not None and monotonic_s - self._told_s < _TELL_S:
            return
        self._told_s = monotonic_s
        _LOG.warning(
            "%s: the journal holds more than keep_mb (%.0f) and nothing may be deleted: the open roll is kept whole",
            self._journal.path,
            self._keep_bytes / 1e6,
        )
