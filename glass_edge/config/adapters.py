"""What every adapter file holds: one adapter each, what it follows and what it keeps.

Promises: a file that loads names one adapter of one kind; relative paths in it are relative to its own folder; secrets
are named, never written in it; a station is followed over the network with CURVE keys only; nothing on disk is touched.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from glass_edge.config.base import Settings
from glass_edge.config.events import (
    CREDENTIAL_PREFIX,
    DEFAULT_PUBLISH_ENDPOINT,
    DEFAULT_REQUEST_ENDPOINT,
    check_endpoint,
)

ADAPTER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
CREDENTIAL_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$"


class SourceSettings(Settings):
    """The station an adapter follows."""

    server_key: Path | None = None
    """File with the station's public CURVE key, for tcp beyond this machine; needs client_key."""
    client_key: str | None = None
    """File with this adapter's secret CURVE key (mode 0600), or credential:NAME."""
    publish_endpoint: str = DEFAULT_PUBLISH_ENDPOINT
    """Where the station publishes."""
    request_endpoint: str = DEFAULT_REQUEST_ENDPOINT
    """Where it answers requests."""
    station: str | None = None
    """Name the station must have; left out: whichever is there first, and that one from then on."""
    start: Literal["oldest", "latest"] = "oldest"
    """Where a new adapter begins: with the oldest event kept, or with the next one."""

    @field_validator("publish_endpoint", "request_endpoint")
    @classmethod
    def _usable(cls, endpoint: str, info: ValidationInfo) -> str:
        # a key that is wrong is complained about itself, and is not in the data
        return check_endpoint(endpoint, is_encrypted=info.data.get("server_key", True) is not None)

    @model_validator(mode="after")
    def _both_keys(self) -> Self:
        if (self.server_key is None) != (self.client_key is None):
            raise ValueError("give server_key and client_key, or neither")
        return self

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        places = {
            "server_key": None if self.server_key is None else folder / self.server_key,
            "client_key": None if self.client_key is None else secret_relative_to(self.client_key, folder),
        }
        return self.model_copy(update=places)


class RetrySettings(Settings):
    """How deliveries that failed are tried again."""

    first_s: float = Field(default=0.5, ge=0.01, le=60)
    """Pause before the second try, s; it doubles with every further one."""
    most_s: float = Field(default=60.0, ge=0.01, le=3600)
    """Longest pause, s; also of one the receiver asks for."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first_s > self.most_s:
            raise ValueError(f"first_s is {self.first_s:g} and most_s {self.most_s:g}; most_s must not be less")
        return self


class StateSettings(Settings):
    """What an adapter keeps about itself."""

    folder: Path
    """Folder of the offset, the state and the refused events; on a local disk, of this adapter alone."""
    dead_letters_mb: float = Field(default=64.0, gt=0, le=65536)
    """Room for events the receiver refused for good, MiB; when it is full, the adapter waits for a person."""


class AdapterSettings(Settings):
    """What every adapter file holds."""

    adapter: str = Field(pattern=ADAPTER_PATTERN)
    """Name of the adapter, for its state and log: letters, digits, '_', '-'."""
    source: SourceSettings = SourceSettings()
    """What it follows."""
    state: StateSettings
    """What it keeps."""
    retry: RetrySettings = RetrySettings()
    """How it tries again."""

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        state = self.state.model_copy(update={"folder": folder / self.state.folder})
        return self.model_copy(update={"state": state, "source": self.source.relative_to(folder)})


def secret_relative_to(place: str, folder: Path) -> str:
    """The place of a secret, a path counted from `folder` or credential:NAME."""
    return place if place.startswith(CREDENTIAL_PREFIX) else str(folder / place)


def is_this_machine(host: str) -> bool:
    """True for localhost and loopback addresses."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
