"""The file of an adapter that serves a station's state to controllers over Modbus TCP.

Promises: those of `adapters`; since Modbus knows no passwords, the server stays on this machine unless the networks of
the controllers are named, and a network is never everybody.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from glass_edge.config.adapters import AdapterSettings
from glass_edge.config.base import Settings, load_toml

_LOOPBACK = ("127.0.0.0/8", "::1/128")


class ModbusSettings(Settings):
    """A Modbus TCP server."""

    bind: str = "127.0.0.1"
    """Address of this machine that controllers connect to. Beyond the loopback interface it needs allowed_clients."""
    port: int = Field(default=502, ge=1, le=65535)
    """Port; one below 1024 needs a privilege (AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit)."""
    allowed_clients: tuple[str, ...] = _LOOPBACK
    """Addresses and networks, such as 192.168.7.10 or 192.168.7.0/24, that may connect; everybody there may command."""
    unit_id: int = Field(default=1, ge=1, le=247)
    """Unit identifier it answers to, besides 0 and 255, which mean the device at this address."""
    most_connections: int = Field(default=8, ge=1, le=64)
    """Connections at once; one that is silent for 10 s makes room for a new one."""
    idle_s: float = Field(default=60.0, ge=5, le=86400)
    """Silence after which a connection is closed, s."""
    requests_per_s: float = Field(default=100.0, ge=1, le=1000)
    """Requests of one connection that are answered in a second; more wait."""
    word_order: Literal["big", "little"] = "big"
    """Order of the two words of a 32-bit number: the high word first (big) or last (little)."""
    text_order: Literal["high_first", "low_first"] = "high_first"
    """Where the first of the two characters in a register is: in its high byte, or in its low byte."""
    text_encoding: Literal["utf-8", "latin-1"] = "utf-8"
    """Encoding of texts."""
    ack_timeout_s: float = Field(default=10.0, ge=0.5, le=3600)
    """How long the controller may take to answer a stop request before that is told, s; the request stays held."""
    refuse_when_disabled: bool = True
    """Refuse stop requests while stop_enable is off. False: they wait for the controller, or for somebody else."""

    @field_validator("bind")
    @classmethod
    def _address(cls, bind: str) -> str:
        try:
            return str(ipaddress.ip_address(bind))
        except ValueError:
            raise ValueError(f"'{bind}' is no address; give one of this machine, such as 192.168.7.20") from None

    @field_validator("allowed_clients")
    @classmethod
    def _networks(cls, clients: tuple[str, ...]) -> tuple[str, ...]:
        if not clients:
            raise ValueError("is empty, so nobody could connect; give the controllers' addresses")
        networks = []
        for client in clients:
            try:
                network = ipaddress.ip_network(client)
            except ValueError as error:
                raise ValueError(f"'{client}' is no address or network ({error}); give 192.168.7.10, say") from None
            if network.prefixlen == 0:
                raise ValueError(f"'{client}' is everybody, and Modbus asks for no password; name the controllers")
            networks.append(str(network))
        return tuple(networks)

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if not ipaddress.ip_address(self.bind).is_loopback and "allowed_clients" not in self.model_fields_set:
            raise ValueError(
                f"bind is {self.bind}, and Modbus asks for no password; name the controllers in allowed_clients"
            )
        return self


class ModbusAdapterSettings(AdapterSettings):
    """File of an adapter that serves controllers over Modbus TCP."""

    modbus: ModbusSettings
    """The server."""


def load_modbus_adapter(path: Path) -> ModbusAdapterSettings:
    """Read the file of a Modbus adapter; its relative paths come back joined to its folder.

    Raises:
        InputError: the file is missing, is no TOML, or a key or value is wrong; all problems are listed.
    """
    return load_toml(path, ModbusAdapterSettings).relative_to(path.parent)
