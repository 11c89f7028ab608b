"""Who a request comes from.

Promises: over CURVE a client is the name of its key in the folder of allowed clients, by what the station's own
authenticator said when it connected (`User-Id` of ZAP, RFC 27 of ZeroMQ), which the client cannot choose; a `User-Id`
that a peer without CURVE claims is never looked at. Over ipc the user is the one the kernel names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import zmq

from glass_edge.config.events import IPC_PREFIX, Role

if TYPE_CHECKING:
    from glass_edge.events.curve import AllowList

LOCAL = "local"
LOOPBACK = "loopback"
_USER_ID = "User-Id"
_PEER_ADDRESS = "Peer-Address"


class Asker(NamedTuple):
    """Name of a client, what it may ask for, and over ipc the user id of its process, where the system tells it."""

    client: str
    role: Role
    uid: int | None = None


NOBODY = Asker(LOOPBACK, Role.OBSERVER)


class Askers:
    """Tells who sent a frame to the request socket.

    Args:
        endpoint: of the request socket.
        local_role: what clients over ipc may.
        clients: the allowed clients of tcp sockets; None where no keys are set.
    """

    def __init__(self, endpoint: str, local_role: Role, clients: AllowList | None) -> None:
        self._local = Asker(LOCAL, local_role) if endpoint.startswith(IPC_PREFIX) else None
        self._clients = clients

    def who(self, frame: zmq.Frame) -> Asker | None:
        """The sender of `frame`; None for a client whose key is allowed no longer."""
        if self._local is not None:
            return self._local._replace(uid=_uid(frame))
        if self._clients is None:
            return NOBODY
        try:
            return self._clients.who(str(frame.get(_USER_ID)).encode())
        except (zmq.ZMQError, UnicodeDecodeError):  # cannot be: the authenticator names all that it lets in
            return None


def _uid(frame: zmq.Frame) -> int | None:
    """User id of the process at the other end of a local socket: its address is HOST:UID:GID:PID."""
    try:
        return int(str(frame.get(_PEER_ADDRESS)).split(":")[-3])
    except (zmq.ZMQError, UnicodeDecodeError, ValueError, IndexError):  # a system without such addresses
        return None
