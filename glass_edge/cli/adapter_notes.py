"""What systemd is told of an adapter.

Promises: READY once the runner works, whether the station is there or not; the watchdog is fed by the turns of the
runner alone: a receiver that is tried again and a silent station do, a receiver that hangs does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glass_edge.adapters.status_file import AdapterStatus
    from glass_edge.service.notify import Notifier

_STOP_S = 20.0


class AdapterNotes:
    """Told each state of an adapter; hands it on to systemd."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._is_ready = False

    def told(self, now: AdapterStatus) -> None:
        """The runner turned, a second ago at most."""
        text = _line(now)
        if now.state in ("stopped", "failed"):
            self._notifier.stopping(text, _STOP_S)
        elif not self._is_ready:
            self._is_ready = True
            self._notifier.ready(text)
        else:
            self._notifier.status(text)
            self._notifier.watchdog()


def _line(now: AdapterStatus) -> str:
    place = "" if now.seq is None else f", event {now.seq} delivered {now.lag_s:.1f} s old"
    error = "" if now.last_error is None or now.state == "following" else f": {now.last_error.text}"
    return f"{now.state}, station {now.station or 'not heard yet'}{place}, {now.refused} refused{error}"
