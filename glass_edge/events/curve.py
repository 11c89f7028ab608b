"""CURVE on tcp sockets: encryption, the station's identity, and the list of clients that may connect.

Promises: only clients whose public key lies in the folder come in, judged at every connection; a key that was taken out
is noticed, and so is another role, within a second; what cannot be read lets nobody in; without a working authenticator
nobody comes in either; refusals are counted and logged once a minute at most. ipc sockets are left to the permissions
of their folder. CurveZMQ: RFC 26 of ZeroMQ; the authentication protocol: RFC 27, by `zmq.auth` of pyzmq.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq
from zmq.auth.thread import ThreadAuthenticator

from glass_edge.config.events import TCP_PREFIX, CurveSettings
from glass_edge.errors import InputError
from glass_edge.events.asker import Asker
from glass_edge.events.curve_keys import AllowedClient, ClientKeys, allowed, read_pair

_DOMAIN = "glass-edge"
_TELL_S = 60.0
_FRESH_S = 1.0
_LOG = logging.getLogger(__name__)


class AllowList:
    """The clients in a folder; pyzmq asks `callback` in the thread of its authenticator.

    Args:
        folder: public keys of the clients.

    Raises:
        InputError: the folder or a key in it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._askers = _by_key(allowed(folder))
        self._loaded_s = time.monotonic()
        self._was_removed = False
        self._refused = 0
        self._told = 0
        self._told_s: float | None = None

    @property
    def refused(self) -> int:
        """Connections refused so far."""
        return self._refused

    def callback(self, domain: str, key: bytes) -> bool:
        """True when the client with this public key (Z85) may connect."""
        del domain  # there is only one
        with self._lock:
            self._reload()
            if key in self._askers:
                return True
            self._refused += 1
            self._tell(key)
            return False

    def who(self, key: bytes) -> Asker | None:
        """Name and role of the client with this public key (Z85), None when it may connect no longer."""
        with self._lock:
            if time.monotonic() - self._loaded_s > _FRESH_S:
                self._reload()
            return self._askers.get(key)

    def take_removal(self) -> bool:
        """True when a key was taken out since the last call: its connections must be cut."""
        with self._lock:
            self._reload()
            was_removed, self._was_removed = self._was_removed, False
            return was_removed

    def _reload(self) -> None:
        try:
            askers = _by_key(allowed(self._folder))
        except InputError as error:
            if self._askers:
                _LOG.error("nobody may connect: %s", error)
            askers = {}
        self._was_removed = self._was_removed or bool(self._askers.keys() - askers.keys())
        self._askers = askers
        self._loaded_s = time.monotonic()

    def _tell(self, key: bytes) -> None:
        now_s = time.monotonic()
        if self._told_s is not None and now_s - self._told_s < _TELL_S:
            return
        _LOG.warning(
            "%d connections of clients that are not allowed were refused, the last with the key %s",
            self._refused - self._told,
            key.decode(errors="replace"),
        )
        self._told, self._told_s = self._refused, now_s


class CurveGuard:
    """Authenticates the clients of a context's tcp sockets; a context manager.

    Args:
        context: context of the sockets.
        settings: key and clients.

    Raises:
        InputError: the key, the folder or a key in it cannot be used.
    """

    def __init__(self, context: zmq.Context[Any], settings: CurveSettings) -> None:
        self._pair = read_pair(settings.server_key)
        self.clients = AllowList(settings.allowed_clients)
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.configure_curve_callback(_DOMAIN, self.clients)

    def __enter__(self) -> Self:
        self._authenticator.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._authenticator.stop()

    def protect(self, sock: zmq.Socket[Any], endpoint: str) -> None:
        """Make a socket that is not bound yet take allowed clients only, where `endpoint` is tcp."""
        if not endpoint.startswith(TCP_PREFIX):
            return
        sock.setsockopt(zmq.CURVE_SERVER, 1)
        sock.setsockopt(zmq.CURVE_SECRETKEY, self._pair.secret)
        sock.setsockopt_string(zmq.ZAP_DOMAIN, _DOMAIN)
        sock.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # nobody comes in while nobody answers for it


def _by_key(clients: Mapping[str, AllowedClient]) -> dict[bytes, Asker]:
    """Clients by their key; of one that was copied under several names the name with the least role counts."""
    askers: dict[bytes, Asker] = {}
    for name, client in clients.items():
        known = askers.get(client.public)
        if known is None or not client.role.includes(known.role):
            askers[client.public] = Asker(name, client.role)
    return askers


def use_client_keys(sock: zmq.Socket[Any], endpoint: str, keys: ClientKeys | None) -> None:
    """Give a socket that is not connected yet the keys to connect to `endpoint`, where that is tcp."""
    if keys is None or not endpoint.startswith(TCP_PREFIX):
        return
    sock.setsockopt(zmq.CURVE_SERVERKEY, keys.server_public)
    sock.setsockopt(zmq.CURVE_PUBLICKEY, keys.own.public)
    sock.setsockopt(zmq.CURVE_SECRETKEY, keys.own.secret)
