"""The file of an adapter that publishes events to an MQTT broker.

Promises: those of `adapters`; the station is named, for it is part of every topic; a broker beyond this machine is
reached by TLS; the prefix is one that topics can begin with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from glass_edge.config.adapters import AdapterSettings, is_this_machine, secret_relative_to
from glass_edge.config.base import Settings, load_toml

_LEVEL = r"[A-Za-z0-9_.-]+"
PREFIX_PATTERN = rf"^{_LEVEL}(/{_LEVEL})*$"
CLIENT_ID_PATTERN = r"^[A-Za-z0-9_.-]{1,200}$"
_PORTS = {"mqtts": 8883, "mqtt": 1883}
_FORMS = "give mqtts://HOST:PORT"


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """Where a broker listens.

    Attributes:
        host: name or address.
        port: of the broker.
        is_encrypted: by TLS.
    """

    host: str
    port: int
    is_encrypted: bool


class MqttSettings(Settings):
    """An MQTT 5 broker that takes events."""

    broker: str
    """mqtts://HOST:PORT, or mqtt://HOST:PORT on this machine; without a port 8883 or 1883."""
    prefix: str = Field(default="glass-edge", pattern=PREFIX_PATTERN, max_length=128)
    """What every topic begins with, before the station's name: levels of letters, digits, '_', '.', '-' with '/'
    between them."""
    client_id: str | None = Field(default=None, pattern=CLIENT_ID_PATTERN)
    """What the adapter is called at the broker, unlike every other client; left out:
    glass-edge-STATION-ADAPTER."""
    user: str | None = Field(default=None, min_length=1, max_length=256)
    """User that logs in; left out: none does."""
    password_file: str | None = None
    """File with the user's password (mode 0600), or credential:NAME."""
    ca_file: Path | None = None
    """PEM file of the authorities the broker's certificate must come from; left out: the system's."""
    client_certificate: Path | None = None
    """PEM file of this adapter's own certificate, for brokers that ask for one; needs client_key."""
    client_key: str | None = None
    """PEM file with its secret key (mode 0600), or credential:NAME."""
    keep_alive_s: int = Field(default=20, ge=5, le=600)
    """Longest silence towards the broker, s; gone for half as long again, the adapter is told dead by the broker."""
    timeout_s: float = Field(default=10.0, ge=0.1, le=30)
    """Longest wait for an answer of the broker, s."""
    historical_s: float = Field(default=60.0, ge=1, le=86400)
    """Age from which an event is marked as historical, s."""
    state_s: float = Field(default=1.0, ge=0.1, le=3600)
    """Least time between two messages of the state, s; the last change is never left out."""
    rebirth_s: float = Field(default=5.0, ge=0.1, le=3600)
    """Least time between two answers to requests for a rebirth, s."""
    roll_days: float = Field(default=7.0, ge=0, le=365)
    """Time for which the broker keeps the end of each roll for late subscribers, days from the end; 0: not at all."""

    @field_validator("broker")
    @classmethod
    def _secure(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"is no URL ({error}); {_FORMS}") from error
        if parts.scheme not in _PORTS or not host or port == 0 or parts.path not in ("", "/") or parts.query:
            raise ValueError(f"is no URL of a broker; {_FORMS}")
        if parts.username is not None or parts.password is not None:
            raise ValueError("carries a user name or password; give user and password_file")
        if parts.scheme == "mqtt" and not is_this_machine(host):
            raise ValueError(f"would send events unencrypted to {host}; give mqtts://...")
        return url

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.password_file is not None and self.user is None:
            raise ValueError("password_file without user; give the user it is of")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("give client_certificate and client_key, or neither")
        if not self.place.is_encrypted and (self.ca_file or self.client_certificate):
            raise ValueError("ca_file and client_certificate are of TLS; give broker = 'mqtts://...'")
        return self

    @property
    def place(self) -> BrokerPlace:
        """The broker's host and port."""
        parts = urlsplit(self.broker)
        return BrokerPlace(parts.hostname or "", parts.port or _PORTS[parts.scheme], parts.scheme == "mqtts")

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        files = {name: getattr(self, name) for name in ("ca_file", "client_certificate")}
        secrets = {name: getattr(self, name) for name in ("password_file", "client_key")}
        return self.model_copy(
            update={name: folder / path for name, path in files.items() if path is not None}
            | {name: secret_relative_to(place, folder) for name, place in secrets.items() if place is not None}
        )


class MqttAdapterSettings(AdapterSettings):
    """File of an adapter that publishes events to an MQTT broker."""

    mqtt: MqttSettings
    """Where to."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.source.station is None:
            raise ValueError("source.station is missing; name the station, it is part of every topic")
        return self

    @property
    def station(self) -> str:
        """Name of the station."""
        return self.source.station or ""

    @property
    def client_id(self) -> str:
        """What the adapter is called at the broker."""
        return self.mqtt.client_id or f"glass-edge-{self.station}-{self.adapter}"

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        return super().relative_to(folder).model_copy(update={"mqtt": self.mqtt.relative_to(folder)})


def load_mqtt_adapter(path: Path) -> MqttAdapterSettings:
    """Read the file of an MQTT adapter; its relative paths come back joined to its folder.

    Raises:
        InputError: the file is missing, is no TOML, or a key or value is wrong; all problems are listed.
    """
    return load_toml(path, MqttAdapterSettings).relative_to(path.parent)
