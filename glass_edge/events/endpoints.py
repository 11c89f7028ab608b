"""Binding the sockets of a station.

Promises: a taken endpoint is refused with its name and what to do, never taken over; a socket file left behind by a
dead publisher is reclaimed; a file that is no socket is never removed.
"""

from __future__ import annotations

import errno
import socket
import stat
from pathlib import Path
from typing import Any

import zmq

from glass_edge.config.events import IPC_PREFIX, check_endpoint, is_wildcard
from glass_edge.errors import InputError
from glass_edge.events.filelock import FileLock
from glass_edge.files import make_folder

_PROBE_TIMEOUT_S = 1.0


def endpoint_to_connect(endpoint: str, *, is_encrypted: bool = False) -> str:
    """`endpoint` checked for connecting to it; `is_encrypted`: with CURVE keys, which tcp beyond the machine needs.

    Raises:
        InputError: not an endpoint this program uses, or one without a port.
    """
    try:
        checked = check_endpoint(endpoint, is_encrypted=is_encrypted)
    except ValueError as error:
        raise InputError(str(error)) from error
    if is_wildcard(checked):
        raise InputError(f"'{endpoint}' names no port; give the port the station publishes on")
    return checked


class IpcClaim:
    """Ownership of a socket file, from before it is bound until it is removed."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self._path = path
        self._lock = lock

    def release(self) -> None:
        """Remove the socket file (the transport leaves it) and let another publisher in."""
        self._path.unlink(missing_ok=True)
        self._lock.release()


def claim(endpoint: str) -> IpcClaim | None:
    """Make sure that an ipc endpoint is ours to bind; None for tcp.

    The transport would silently take a socket file over from a running publisher, so ownership is settled here.

    Raises:
        InputError: a live publisher owns it, a file that is no socket is in the way, or the folder cannot be written.
    """
    if not endpoint.startswith(IPC_PREFIX):
        return None
    path = Path(endpoint.removeprefix(IPC_PREFIX))
    make_folder(path.parent)
    lock = FileLock(path.with_name(path.name + ".lock"))
    if not lock.acquire():
        raise InputError(f"{endpoint}: {lock.holder()} publishes here; stop it or give another endpoint")
    try:
        _remove_stale(endpoint, path)
    except BaseException:
        lock.release()
        raise
    return IpcClaim(path, lock)


def bind(sock: zmq.Socket[Any], endpoint: str) -> str:
    """Bind `sock`; returns the endpoint bound, with the port the system chose.

    Raises:
        InputError: in use, or not possible on this machine.
    """
    if "[" in endpoint:
        sock.setsockopt(zmq.IPV6, 1)
    try:
        sock.bind(endpoint)
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"{endpoint}: in use by another program; stop it or give another endpoint in the station's settings"
            ) from error
        raise InputError(
            f"{endpoint}: cannot be bound ({error.strerror}); give a writable folder or an address of this machine"
        ) from error
    return str(sock.getsockopt_string(zmq.LAST_ENDPOINT)).rstrip("\0")


def _remove_stale(endpoint: str, path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise InputError(f"{endpoint}: {path} exists and is no socket; move it away or give another endpoint")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"{endpoint}: another program seems to listen there ({error}); stop it or give another endpoint"
            ) from error
        else:
            raise InputError(f"{endpoint}: another program listens there; stop it or give another endpoint")
