"""The sockets of a station and the keys for them.

Promises: a running station is not disturbed: its endpoints are asked, not bound; what is bound to look is let go.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import zmq

from glass_edge.config.events import IPC_PREFIX, EventSettings, is_wildcard
from glass_edge.errors import InputError
from glass_edge.events.curve_keys import allowed, read_pair
from glass_edge.events.endpoints import bind
from glass_edge.events.errors import NoAnswerError
from glass_edge.events.requester import request_status
from glass_edge.service.doctor.finding import Finding, bad, care, good, of_error
from glass_edge.service.doctor.storage import existing

_ANSWER_S = 1.0


def sockets(events: EventSettings, station: str) -> Iterator[Finding]:
    """Whether the endpoints are free, or the station itself answers there."""
    if running(events) == station:
        yield good("sockets", f"station {station} is running and answers at {events.request_endpoint}")
        return
    for endpoint in (events.publish_endpoint, events.request_endpoint):
        yield _ipc(endpoint) if endpoint.startswith(IPC_PREFIX) else _tcp(endpoint)


def running(events: EventSettings) -> str | None:
    """Name of the station that answers at the request endpoint; None when none does, or it asks for keys."""
    if events.curve is not None or is_wildcard(events.request_endpoint):
        return None
    with suppress(NoAnswerError):
        return request_status(events.request_endpoint, timeout_s=_ANSWER_S).station
    return None


def keys(events: EventSettings) -> Iterator[Finding]:
    """The station's CURVE key, and who may connect."""
    if events.curve is None:
        return
    try:
        read_pair(events.curve.server_key)
    except InputError as error:
        yield of_error("keys", error)
    else:
        yield good("keys", f"{events.curve.server_key} is a key pair that others cannot read")
    names = sorted(allowed(events.curve.allowed_clients))
    if names:
        yield good("keys", f"may connect: {', '.join(names)}")
    else:
        remedy = f"glass-edge keys allow CLIENT.key --clients {events.curve.allowed_clients}"
        yield care("keys", f"{events.curve.allowed_clients} is empty: nobody may connect", remedy)


def _ipc(endpoint: str) -> Finding:
    path = Path(endpoint.removeprefix(IPC_PREFIX))
    if path.exists() and not path.is_socket():
        return bad("sockets", f"{path} is no socket", "move it away, or give another endpoint")
    folder = existing(path.parent)
    if not os.access(folder, os.W_OK | os.X_OK):
        remedy = f"as root: install -d -o {os.geteuid()} {path.parent}"
        return bad("sockets", f"{endpoint}: {folder} cannot be written by user {os.geteuid()}", remedy)
    return good("sockets", f"{endpoint} can be made")


def _tcp(endpoint: str) -> Finding:
    with zmq.Context() as context, closing(context.socket(zmq.PUB)) as socket:
        try:
            bind(socket, endpoint)
        except InputError as error:
            return of_error("sockets", error)
    return good("sockets", f"{endpoint} is free")
