"""The two sockets of a station.

Promises: made, used and closed by one thread; queues to peers are bounded, and what peers send is read at once
(`request_queue` says why it has no bound here); with CURVE settings tcp takes allowed clients only; `renew` cuts every
tcp connection and binds the same endpoints again, so that clients that are still allowed come back by themselves and
replay what they missed.
"""

from __future__ import annotations

import time
from typing import Any

import zmq

from glass_edge.config.events import TCP_PREFIX, EventSettings
from glass_edge.errors import InputError
from glass_edge.events.curve import CurveGuard
from glass_edge.events.endpoints import bind
from glass_edge.events.socket_options import NO_BOUND, set_common
from glass_edge.events.wire import MAX_REQUEST_BYTES

_REPLIES_QUEUED = 16  # a peer; a reply may have a megabyte, and who does not read them asks again
_REBIND_S = 10.0


class StationSockets:
    """PUB and ROUTER, bound when this returns.

    Args:
        context: context of the sockets.
        settings: endpoints and limits.
        guard: who may connect over tcp; None where no keys are set.

    Raises:
        InputError: an endpoint cannot be bound.
    """

    def __init__(self, context: zmq.Context[Any], settings: EventSettings, guard: CurveGuard | None) -> None:
        self._context = context
        self._settings = settings
        self._guard = guard
        self._open: dict[int, zmq.Socket[Any]] = {}
        self._bound: dict[int, str] = {}
        try:
            self._bind(zmq.PUB, settings.publish_endpoint)
            self._bind(zmq.ROUTER, settings.request_endpoint)
        except BaseException:
            self.close()
            raise

    @property
    def publish(self) -> zmq.Socket[Any]:
        """The socket events are published on."""
        return self._open[zmq.PUB]

    @property
    def requests(self) -> zmq.Socket[Any] | None:
        """The socket requests are answered on; None while it is closed."""
        return self._open.get(zmq.ROUTER)

    @property
    def endpoints(self) -> tuple[str, str]:
        """Endpoints bound (publish, request), with the ports the system chose."""
        return self._bound[zmq.PUB], self._bound[zmq.ROUTER]

    def renew(self) -> None:
        """Cut all tcp connections and bind again.

        Raises:
            InputError: another program took an endpoint meanwhile.
        """
        for kind, sock in list(self._open.items()):
            if self._bound[kind].startswith(TCP_PREFIX):
                sock.close()
                self._rebind(kind, self._bound[kind])

    def close_requests(self) -> None:
        """Hang up on all who ask, until `open_requests`."""
        self._open.pop(zmq.ROUTER).close(0)

    def open_requests(self) -> None:
        """Take requests again, on the same endpoint.

        Raises:
            InputError: another program took it meanwhile.
        """
        self._rebind(zmq.ROUTER, self._bound[zmq.ROUTER])

    def close(self) -> None:
        """Close both; messages on their way have the linger."""
        for sock in self._open.values():
            sock.close()
        self._open.clear()

    def _rebind(self, kind: int, endpoint: str) -> None:
        deadline_s = time.monotonic() + _REBIND_S
        while True:
            try:
                self._bind(kind, endpoint)
            except InputError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.01)  # the transport lets the old socket go in a thread of its own
            else:
                return

    def _bind(self, kind: int, endpoint: str) -> None:
        sock: zmq.Socket[Any] = self._context.socket(kind)
        try:
            set_common(
                sock,
                send_queue=self._settings.high_water_mark if kind == zmq.PUB else _REPLIES_QUEUED,
                receive_queue=NO_BOUND,
                max_message_bytes=4 * MAX_REQUEST_BYTES,
                linger_s=self._settings.linger_s,
                heartbeat_s=self._settings.heartbeat_s,
                tcp_keepalive_s=self._settings.tcp_keepalive_s,
            )
            if self._guard is not None:
                self._guard.protect(sock, endpoint)
            self._bound[kind] = bind(sock, endpoint)
            self._open[kind] = sock
        except BaseException:
            sock.close()
            raise
