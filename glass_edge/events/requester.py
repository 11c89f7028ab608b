"""Asking a station.

Promises: every request ends, with its reply or within its time-out; a reply is matched by its id, so a late one is
never taken for another's; a request to a station that is not there is not kept for later.
"""

from __future__ import annotations

import math
import time
import uuid
from typing import Any

import zmq

from glass_edge.config.events import DEFAULT_HEARTBEAT_S
from glass_edge.events.curve import use_client_keys
from glass_edge.events.curve_keys import ClientKeys
from glass_edge.events.endpoints import endpoint_to_connect
from glass_edge.events.errors import CommandRefusedError, EventFormatError, NoAnswerError
from glass_edge.events.socket_options import NO_BOUND, set_common, set_reconnecting
from glass_edge.events.wire import (
    MAX_REPLY_FRAME_BYTES,
    ErrorReply,
    ReplayReply,
    ReplayRequest,
    Reply,
    Request,
    Snapshot,
    SnapshotReply,
    SnapshotRequest,
    StatusReply,
    StatusRequest,
    parse_reply,
)

_REQUESTS_QUEUED = 16


class Requester:
    """A DEALER socket to a station's ROUTER; used and closed by the thread that made it.

    Args:
        context: context of the socket.
        endpoint: request endpoint of the station.
        heartbeat_s: see `EventClient`.
        keys: see `EventClient`.

    Raises:
        InputError: not an endpoint.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoint: str,
        *,
        heartbeat_s: float = DEFAULT_HEARTBEAT_S,
        keys: ClientKeys | None = None,
    ) -> None:
        self.endpoint = endpoint_to_connect(endpoint, is_encrypted=keys is not None)
        self.socket: zmq.Socket[Any] = context.socket(zmq.DEALER)
        set_common(
            self.socket,
            send_queue=_REQUESTS_QUEUED,
            receive_queue=NO_BOUND,  # no more replies come than were asked for
            max_message_bytes=MAX_REPLY_FRAME_BYTES,
            heartbeat_s=heartbeat_s,
        )
        set_reconnecting(self.socket)
        self.socket.setsockopt(zmq.IMMEDIATE, 1)  # queue only to a station that is there
        if "[" in self.endpoint:
            self.socket.setsockopt(zmq.IPV6, 1)
        use_client_keys(self.socket, self.endpoint, keys)
        self.socket.connect(self.endpoint)

    def send(self, request: Request) -> bool:
        """Send without waiting; False when the station is not there."""
        try:
            self.socket.send(request.model_dump_json().encode(), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self) -> tuple[Reply, list[bytes]] | None:
        """A reply that is there, with the frames that follow its header; None without one.

        Raises:
            EventFormatError: what came is no reply.
        """
        try:
            frames: list[bytes] = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        reply = parse_reply(frames[0])
        if isinstance(reply, ReplayReply) and reply.count != len(frames) - 1:
            raise EventFormatError(f"a reply announces {reply.count} events and brings {len(frames) - 1}")
        return reply, frames[1:]

    def close(self) -> None:
        """Close the socket at once."""
        self.socket.close()


def ask(
    endpoint: str,
    request: Request,
    *,
    timeout_s: float = 5.0,
    keys: ClientKeys | None = None,
    again_s: float | None = None,
) -> tuple[Reply, list[bytes]]:
    """One request, its reply and the frames that follow.

    Args:
        endpoint: request endpoint of the station.
        request: what to ask; it is given an id of its own.
        timeout_s: how long to wait for the reply, s.
        keys: see `EventClient`.
        again_s: time after which it is sent again with the same id, s, since a reply may be lost; None: never.

    Raises:
        InputError: not an endpoint.
        CommandRefusedError: the station refused the request.
        NoAnswerError: no reply within `timeout_s`.
        EventFormatError: the reply cannot be read.
    """
    request = request.model_copy(update={"id": uuid.uuid4().hex})
    deadline_s = time.monotonic() + timeout_s
    context = zmq.Context()
    requester: Requester | None = None
    try:
        requester = Requester(context, endpoint, keys=keys)
        send_s = time.monotonic()
        while True:
            if time.monotonic() >= send_s:
                while not requester.send(request):
                    _wait(requester, zmq.POLLOUT, deadline_s, timeout_s)
                send_s = math.inf if again_s is None else time.monotonic() + again_s
            _wait(requester, zmq.POLLIN, min(deadline_s, send_s), timeout_s, is_last=deadline_s <= send_s)
            received = requester.receive()
            if received is None or received[0].id != request.id:
                continue
            if isinstance(received[0], ErrorReply):
                raise CommandRefusedError(endpoint, received[0].message)
            return received
    finally:
        if requester is not None:
            requester.close()
        context.term()


def request_status(endpoint: str, *, timeout_s: float = 5.0, keys: ClientKeys | None = None) -> StatusReply:
    """How the publication of a station is doing. Raises as `ask`."""
    reply, _ = ask(endpoint, StatusRequest(request="status"), timeout_s=timeout_s, keys=keys)
    if not isinstance(reply, StatusReply):
        raise EventFormatError(f"{endpoint}: answered {reply.reply} to a status request")
    return reply


def request_snapshot(endpoint: str, *, timeout_s: float = 5.0, keys: ClientKeys | None = None) -> tuple[str, Snapshot]:
    """Epoch and snapshot of a station. Raises as `ask`."""
    reply, _ = ask(endpoint, SnapshotRequest(request="snapshot"), timeout_s=timeout_s, keys=keys)
    if not isinstance(reply, SnapshotReply):
        raise EventFormatError(f"{endpoint}: answered {reply.reply} to a snapshot request")
    return reply.epoch, reply.snapshot


def request_replay(
    endpoint: str,
    from_seq: int,
    *,
    limit: int = 1000,
    epoch: str | None = None,
    timeout_s: float = 5.0,
    keys: ClientKeys | None = None,
) -> tuple[ReplayReply, list[bytes]]:
    """Up to `limit` events from `from_seq` on, the station may send fewer. Raises as `ask`."""
    request = ReplayRequest(request="replay", epoch=epoch, from_seq=from_seq, limit=limit)
    reply, documents = ask(endpoint, request, timeout_s=timeout_s, keys=keys)
    if not isinstance(reply, ReplayReply):
        raise EventFormatError(f"{endpoint}: answered {reply.reply} to a replay request")
    return reply, documents


def _wait(requester: Requester, event: int, until_s: float, timeout_s: float, *, is_last: bool = True) -> None:
    left_s = until_s - time.monotonic()
    if left_s > 0:
        requester.socket.poll(int(left_s * 1000) + 1, event)
    elif is_last:
        raise NoAnswerError(
            f"{requester.endpoint}: no answer within {timeout_s:g} s; is the station running, and is this its request"
            " endpoint?"
        )
