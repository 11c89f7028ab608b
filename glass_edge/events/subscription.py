"""What a station publishes, read by a thread of its own into a queue with a bound.

Promises: the queue holds `most` messages, what comes beyond is dropped (the client replays it); however long the client
does not read, the subscription is read on, so heartbeats are answered and libzmq's own queue stays empty. That one has
no bound: libzmq (4.3.5) ends the process of a client whose bounded receive queue is full when it loses the station (its
issues 3937, 4364).
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import zmq

from glass_edge.events.curve import use_client_keys
from glass_edge.events.curve_keys import ClientKeys
from glass_edge.events.socket_options import NO_BOUND, set_common, set_reconnecting
from glass_edge.events.wire import MAX_REPLY_FRAME_BYTES

_SUBSCRIPTIONS_QUEUED = 16
_INSIDE = "inproc://subscription"


class Subscription:
    """Follows a publish endpoint; used by the thread that made it, and closed before its context is.

    Args:
        context: context of the sockets, of this subscription alone among its kind.
        endpoint: publish endpoint of the station, checked.
        most: messages queued while the client is busy.
        heartbeat_s: see `EventClient`.
        keys: see `EventClient`.

    Raises:
        zmq.ZMQError: the endpoint cannot be connected to.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoint: str,
        *,
        most: int,
        heartbeat_s: float,
        keys: ClientKeys | None,
    ) -> None:
        self.socket: zmq.Socket[Any] = context.socket(zmq.PULL)
        self._stop: zmq.Socket[Any] = context.socket(zmq.PAIR)
        inner: zmq.Socket[Any] = context.socket(zmq.PUSH)
        stopping: zmq.Socket[Any] = context.socket(zmq.PAIR)
        subscriber: zmq.Socket[Any] = context.socket(zmq.SUB)
        parts = (subscriber, inner, stopping)
        self._thread = threading.Thread(target=_carry, args=parts, name="subscription", daemon=True)
        try:
            self.socket.setsockopt(zmq.RCVHWM, most)
            inner.setsockopt(zmq.SNDHWM, 1)  # the two bounds of an inner connection add up
            self.socket.bind(_INSIDE)
            inner.connect(_INSIDE)
            self._stop.bind(_INSIDE + "-stop")
            stopping.connect(_INSIDE + "-stop")
            set_common(
                subscriber,
                send_queue=_SUBSCRIPTIONS_QUEUED,
                receive_queue=NO_BOUND,
                max_message_bytes=MAX_REPLY_FRAME_BYTES,
                heartbeat_s=heartbeat_s,
            )
            set_reconnecting(subscriber)
            subscriber.setsockopt(zmq.SUBSCRIBE, b"")
            if "[" in endpoint:
                subscriber.setsockopt(zmq.IPV6, 1)
            use_client_keys(subscriber, endpoint, keys)
            subscriber.connect(endpoint)
        except BaseException:
            for sock in (self.socket, self._stop, *parts):
                sock.close(0)
            raise
        self._thread.start()

    def receive(self) -> list[bytes] | None:
        """Frames of a message that is there; None without one."""
        try:
            frames: list[bytes] = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        return frames

    def close(self) -> None:
        """End the thread and close all sockets."""
        self._stop.send(b"")
        self._thread.join()
        self._stop.close(0)
        self.socket.close(0)


def _carry(subscriber: zmq.Socket[Any], inner: zmq.Socket[Any], stopping: zmq.Socket[Any]) -> None:
    """Move messages from the station to the client until told to stop; the sockets were handed over to this thread."""
    poller = zmq.Poller()
    poller.register(subscriber, zmq.POLLIN)
    poller.register(stopping, zmq.POLLIN)
    with subscriber, inner, stopping:
        while stopping not in dict(poller.poll()):
            with contextlib.suppress(zmq.Again):
                inner.send_multipart(subscriber.recv_multipart(zmq.NOBLOCK), zmq.NOBLOCK)
