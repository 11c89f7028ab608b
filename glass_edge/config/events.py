"""Settings of the event publication: where events are kept and where clients find them.

Promises: an endpoint that passes here is one the transport can bind or connect: a local socket file with a name short
enough for the system, or tcp. Plain tcp stays on the loopback interface; beyond it tcp needs CURVE keys.
"""

from __future__ import annotations

import ipaddress
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from glass_edge.config.base import Settings

IPC_PREFIX = "ipc://"
TCP_PREFIX = "tcp://"
MAX_IPC_PATH_BYTES = 107  # sun_path of Linux holds 108 with the closing zero


def check_endpoint(endpoint: str, *, is_encrypted: bool = False) -> str:
    """`endpoint` in the form the transport takes (`localhost` becomes 127.0.0.1).

    Args:
        endpoint: as it was given.
        is_encrypted: tcp goes with CURVE, so it may leave the machine.

    Raises:
        ValueError: neither `ipc:///absolute/path` nor `tcp://<address>:<port>`, a loopback one without CURVE.
    """
    if endpoint.startswith(IPC_PREFIX):
        return _check_ipc(endpoint)
    if endpoint.startswith(TCP_PREFIX):
        return _check_tcp(endpoint, is_encrypted)
    raise ValueError(f"'{endpoint}' is no endpoint; give ipc:///absolute/path or tcp://127.0.0.1:PORT")


def _check_ipc(endpoint: str) -> str:
    path = endpoint.removeprefix(IPC_PREFIX)
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError(f"'{endpoint}' names no absolute path; give ipc:///run/glass-edge/NAME")
    size = len(os.fsencode(path))
    if size > MAX_IPC_PATH_BYTES:
        raise ValueError(
            f"'{endpoint}': the path has {size} bytes and the system allows {MAX_IPC_PATH_BYTES}; give a shorter one"
        )
    return endpoint


def _check_tcp(endpoint: str, is_encrypted: bool) -> str:
    match = re.fullmatch(r"tcp://(?P<host>\[[0-9A-Fa-f:]+\]|[^:/\[\]]+):(?P<port>\*|[0-9]{1,5})", endpoint)
    if match is None or (match["port"] != "*" and not 0 < int(match["port"]) < 65536):
        raise ValueError(f"'{endpoint}' is no tcp endpoint; give tcp://127.0.0.1:PORT with a port from 1 to 65535")
    host = "127.0.0.1" if match["host"] == "localhost" else match["host"]
    try:
        is_loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback and not is_encrypted:
        raise ValueError(
            f"'{endpoint}' would send events unencrypted over the network; give a loopback address such as"
            f" tcp://127.0.0.1:{match['port']}, ipc:///absolute/path, or CURVE keys"
        )
    return f"tcp://{host}:{match['port']}"


def is_wildcard(endpoint: str) -> bool:
    """True when the system chooses the port: good for binding, useless for connecting."""
    return endpoint.startswith(TCP_PREFIX) and endpoint.endswith(":*")


CREDENTIAL_PREFIX = "credential:"

DEFAULT_PUBLISH_ENDPOINT = "ipc:///run/glass-edge/events"
DEFAULT_REQUEST_ENDPOINT = "ipc:///run/glass-edge/requests"
DEFAULT_HEARTBEAT_S = 5.0
DEFAULT_TCP_KEEPALIVE_S = 30.0


class Role(StrEnum):
    """What a client may ask a station for; each role may what those before it may."""

    OBSERVER = "observer"
    """Events, snapshot and status."""
    CONTROLLER = "controller"
    """Commands of the running production: roll, recipe of an installed style, acknowledgement, bypass."""
    ENGINEER = "engineer"
    """Everything."""

    def includes(self, other: Role) -> bool:
        """True when this role may what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class CurveSettings(Settings):
    """Encryption of tcp sockets, and who may connect to them (CurveZMQ)."""

    server_key: str
    """File with the station's secret key (mode 0600), or credential:NAME for a credential of its systemd unit."""
    allowed_clients: Path
    """Folder with the public key of each client that may connect, NAME.key, and its role."""

    def relative_to(self, folder: Path) -> CurveSettings:
        """The same settings with relative paths counted from `folder`."""
        is_file = not self.server_key.startswith(CREDENTIAL_PREFIX)
        key = str(folder / self.server_key) if is_file else self.server_key
        return CurveSettings(server_key=key, allowed_clients=folder / self.allowed_clients)


class EventSettings(Settings):
    """Journal and sockets of a station."""

    curve: CurveSettings | None = None
    """Keys for tcp sockets; without them tcp stays on the loopback interface. The endpoints are judged by it."""
    journal: Path = Path("/var/lib/glass-edge/events.journal")
    """SQLite file that keeps every event; on a local disk."""
    publish_endpoint: str = DEFAULT_PUBLISH_ENDPOINT
    """Where events are published: ipc:///absolute/path, tcp:// on the loopback interface, or any tcp:// with CURVE."""
    request_endpoint: str = DEFAULT_REQUEST_ENDPOINT
    """Where clients ask for a replay, the snapshot or the status, and command the station."""
    local_role: Role = Role.ENGINEER
    """What clients on an ipc:// request endpoint may: observer, controller or engineer. The permissions of the socket's
    folder say who they are."""
    status_s: float = Field(default=60.0, ge=1, le=86400)
    """Time between two status events with speed, width and exposure of a running roll, s."""
    beacon_s: float = Field(default=1.0, ge=0.05, le=60)
    """Time between two beacons, s."""
    high_water_mark: int = Field(default=10_000, ge=1, le=1_000_000)
    """Events queued for one slow subscriber before it is skipped; it replays them from the journal."""
    replay_limit: int = Field(default=1000, ge=1, le=10_000)
    """Most events in one answer to a replay request."""
    reply_mb_per_s: float = Field(default=8.0, ge=0.1, le=1000)
    """Most that all answers together may take, MB/s (1e6 bytes); what is asked beyond waits its turn."""
    heartbeat_s: float = Field(default=DEFAULT_HEARTBEAT_S, ge=0, le=60)
    """Time between two heartbeats to a client, s; one that is silent for three of them is cut off. 0: none."""
    tcp_keepalive_s: float = Field(default=DEFAULT_TCP_KEEPALIVE_S, ge=3, le=3600)
    """Silence after which the system asks a tcp client whether it is there, s."""
    keep_days: float = Field(default=90.0, ge=1, le=3650)
    """Age beyond which events are deleted, days; the open roll is kept whole."""
    keep_mb: float = Field(default=2048.0, ge=1, le=1_000_000)
    """Size of the journal beyond which its oldest events are deleted, MB; the open roll is kept whole."""
    linger_s: float = Field(default=1.0, ge=0, le=60)
    """How long closing waits for messages on their way, s."""

    @field_validator("publish_endpoint", "request_endpoint")
    @classmethod
    def _usable(cls, endpoint: str, info: ValidationInfo) -> str:
        # a `curve` that is wrong is complained about itself, and is not in the data
        return check_endpoint(endpoint, is_encrypted=info.data.get("curve", True) is not None)

    @model_validator(mode="after")
    def _two_endpoints(self) -> Self:
        if self.publish_endpoint == self.request_endpoint and not is_wildcard(self.publish_endpoint):
            raise ValueError(f"publish_endpoint and request_endpoint are both {self.publish_endpoint}; give two")
        return self

    def relative_to(self, folder: Path) -> EventSettings:
        """The same settings with relative paths counted from `folder`."""
        curve = None if self.curve is None else self.curve.relative_to(folder)
        return self.model_copy(update={"journal": folder / self.journal, "curve": curve})
