"""Requests read, and answered within the budget.

Promises: used by the thread that owns the sockets; the request socket is read in every turn, so that what waits is
bounded here; a peer that sends thousands of requests too many costs all who ask a second without answers, and nobody
else anything; that is logged once a minute at most.
"""

from __future__ import annotations

import contextlib
import logging
import time
from functools import partial
from typing import Any

import zmq

from glass_edge.config.events import EventSettings
from glass_edge.events.asker import Askers
from glass_edge.events.curve import CurveGuard
from glass_edge.events.publication import Publication
from glass_edge.events.reply_budget import ReplyBudget
from glass_edge.events.request_queue import RequestQueue
from glass_edge.events.station_sockets import StationSockets

_READ_A_TURN = 1024
_FLOOD_PAUSE_S = 1.0
_TELL_S = 60.0
_LOG = logging.getLogger(__name__)


class RequestService:
    """Serves the request socket of a station.

    Args:
        settings: budget, and what clients over ipc may.
        publication: what answers.
        sockets: the station's.
        guard: who may connect over tcp; None where no keys are set.
        poller: has the request socket registered while it is open.
    """

    def __init__(
        self,
        settings: EventSettings,
        publication: Publication,
        sockets: StationSockets,
        guard: CurveGuard | None,
        poller: zmq.Poller,
    ) -> None:
        self._publication = publication
        self._sockets = sockets
        self._poller = poller
        self._askers = Askers(settings.request_endpoint, settings.local_role, None if guard is None else guard.clients)
        self._budget = ReplyBudget(settings.reply_mb_per_s * 1e6, time.monotonic())
        self._queue: RequestQueue[zmq.Frame] = RequestQueue()
        self._reopen_s = 0.0
        self._told_s: float | None = None
        self._poller.register(self._socket(), zmq.POLLIN)

    def turn(self) -> float | None:
        """Read what is there and answer one; time until the next turn is due, s, None when only a request makes it so.

        One, since a replay may take milliseconds, and events wait for no more of them than that.

        Raises:
            JournalError: the journal cannot be read.
            InputError: another program took the endpoint while it was closed.
        """
        now_s = time.monotonic()
        if self._sockets.requests is None:
            if now_s < self._reopen_s:
                return self._reopen_s - now_s
            self._sockets.open_requests()
            self._poller.register(self._socket(), zmq.POLLIN)
        self._read(self._socket())
        if self._queue.is_flooded(now_s):
            self._hang_up(now_s)
            return _FLOOD_PAUSE_S
        self._answer(self._socket())
        return self._budget.wait_s(time.monotonic()) if self._queue else None

    def renew(self) -> None:
        """Cut every tcp connection and bind again; requests that wait are dropped. Raises as `StationSockets.renew`."""
        if self._sockets.requests is not None:
            self._poller.unregister(self._socket())
        self._sockets.renew()
        self._queue.clear()
        if self._sockets.requests is not None:
            self._poller.register(self._socket(), zmq.POLLIN)

    def _socket(self) -> zmq.Socket[Any]:
        sock = self._sockets.requests
        if sock is None:
            raise AssertionError("the request socket is closed")
        return sock

    def _read(self, sock: zmq.Socket[Any]) -> None:
        for _ in range(_READ_A_TURN):
            try:
                self._queue.put(sock.recv_multipart(zmq.NOBLOCK, copy=False))  # frames know whom they come from
            except zmq.Again:
                return

    def _answer(self, sock: zmq.Socket[Any]) -> None:
        if self._budget.wait_s(time.monotonic()) or (frames := self._queue.take()) is None:
            return
        *route, body = frames  # the route back: identity, and the empty frame of a REQ peer
        answer = self._publication.answer(body.bytes, partial(self._askers.who, body))
        reply = [*(frame.bytes for frame in route), *answer]
        self._budget.spend(sum(len(frame) for frame in reply))
        with contextlib.suppress(zmq.Again):  # the peer does not read its replies; it will ask again
            sock.send_multipart(reply, zmq.NOBLOCK)

    def _hang_up(self, now_s: float) -> None:
        self._poller.unregister(self._socket())
        self._sockets.close_requests()
        self._queue.clear()
        self._reopen_s = now_s + _FLOOD_PAUSE_S
        if self._told_s is None or now_s - self._told_s > _TELL_S:
            self._told_s = now_s
            _LOG.warning("a client floods the request socket; it is closed for %g s each time", _FLOOD_PAUSE_S)
