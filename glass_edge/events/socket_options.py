"""What every socket of the event layer has in common.

Promises: queues to a peer and messages have a bound; a peer that is gone without a goodbye (power cut, cable, frozen
program) is noticed: by ZMTP heartbeats (ZMTP 3.1, RFC 37 of ZeroMQ) within three of them, and over tcp by the system's
keep-alive too, for peers that speak no heartbeats.
"""

from __future__ import annotations

from typing import Any

import zmq

from glass_edge.config.events import DEFAULT_HEARTBEAT_S, DEFAULT_TCP_KEEPALIVE_S

NO_BOUND = 0
"""For `receive_queue`."""
_MISSED_HEARTBEATS = 3
_KEEPALIVE_PROBES = 3
_HANDSHAKE_S = 10.0


def set_common(
    sock: zmq.Socket[Any],
    *,
    send_queue: int,
    receive_queue: int,
    max_message_bytes: int,
    linger_s: float = 0.0,
    heartbeat_s: float = DEFAULT_HEARTBEAT_S,
    tcp_keepalive_s: float = DEFAULT_TCP_KEEPALIVE_S,
) -> None:
    """Set what must be set before `sock` is bound or connected.

    Args:
        sock: the socket.
        send_queue: most messages queued for one peer.
        receive_queue: most messages queued from one peer; with heartbeats only `NO_BOUND` is safe (`subscription`),
            so what is received has to be read on, or its number bounded otherwise.
        max_message_bytes: a peer that sends a longer frame is cut off.
        linger_s: how long closing waits for queued messages, s.
        heartbeat_s: time between two heartbeats, s; a peer silent for three of them is cut off. 0: none.
        tcp_keepalive_s: silence after which the system asks a tcp peer, three times a third of it apart, s.
    """
    sock.setsockopt(zmq.SNDHWM, send_queue)
    sock.setsockopt(zmq.RCVHWM, receive_queue)
    sock.setsockopt(zmq.MAXMSGSIZE, max_message_bytes)
    sock.setsockopt(zmq.LINGER, round(linger_s * 1000))
    sock.setsockopt(zmq.HANDSHAKE_IVL, round(_HANDSHAKE_S * 1000))
    sock.setsockopt(zmq.HEARTBEAT_IVL, round(heartbeat_s * 1000))
    sock.setsockopt(zmq.HEARTBEAT_TIMEOUT, round(_MISSED_HEARTBEATS * heartbeat_s * 1000))
    sock.setsockopt(zmq.HEARTBEAT_TTL, round(_MISSED_HEARTBEATS * heartbeat_s * 1000))
    sock.setsockopt(zmq.TCP_KEEPALIVE, 1)
    sock.setsockopt(zmq.TCP_KEEPALIVE_IDLE, max(1, round(tcp_keepalive_s)))
    sock.setsockopt(zmq.TCP_KEEPALIVE_INTVL, max(1, round(tcp_keepalive_s / _KEEPALIVE_PROBES)))
    sock.setsockopt(zmq.TCP_KEEPALIVE_CNT, _KEEPALIVE_PROBES)


def set_reconnecting(sock: zmq.Socket[Any]) -> None:
    """For a client: try again soon, then less often."""
    sock.setsockopt(zmq.RECONNECT_IVL, 100)
    sock.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
