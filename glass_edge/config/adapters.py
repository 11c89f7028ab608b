"""Adapter files: one adapter each, what it follows and where it delivers.

Promises: a file that loads names one adapter of one kind; relative paths in it are relative to its own folder; secrets
are named, never written in it; a webhook's URL is https unless its host is this machine; nothing on disk is touched.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from glass_edge.config.base import Settings, load_toml
from glass_edge.config.events import DEFAULT_PUBLISH_ENDPOINT, DEFAULT_REQUEST_ENDPOINT, check_endpoint

ADAPTER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
CREDENTIAL_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$"


class SourceSettings(Settings):
    """The station an adapter follows."""

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
    def _usable(cls, endpoint: str) -> str:
        return check_endpoint(endpoint)


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
        return self.model_copy(update={"state": state})


class FilesSettings(Settings):
    """Files of each roll."""

    folder: Path
    """Where the rolls' files appear."""
    make_folder: bool = True
    """Make it when it is absent. False: wait for it; right for a folder inside a share that may not be mounted."""


class FilesAdapterSettings(AdapterSettings):
    """File of an adapter that writes files of each roll."""

    files: FilesSettings
    """Where to."""

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        files = self.files.model_copy(update={"folder": folder / self.files.folder})
        return super().relative_to(folder).model_copy(update={"files": files})


class WebhookSettings(Settings):
    """An HTTPS server that takes events."""

    url: str
    """Where each event is posted: https, or http on this machine."""
    secret_file: Path | None = None
    """File with the secret of the signature, mode 0600."""
    secret_credential: str | None = Field(default=None, pattern=CREDENTIAL_PATTERN)
    """In its place: name of the systemd credential (a file in $CREDENTIALS_DIRECTORY)."""
    ca_file: Path | None = None
    """PEM file of the authorities the server's certificate must come from; left out: the system's."""
    connect_timeout_s: float = Field(default=5.0, ge=0.1, le=30)
    """Longest wait for a connection, s."""
    timeout_s: float = Field(default=10.0, ge=0.1, le=30)
    """Longest silence of the server while it takes or answers a request, s."""

    @field_validator("url")
    @classmethod
    def _secure(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"is no URL ({error}); give https://HOST/PATH") from error
        if parts.scheme not in ("https", "http") or not host:
            raise ValueError("is no URL of a server; give https://HOST/PATH")
        if parts.username is not None or parts.password is not None:
            raise ValueError("carries a user name or password; leave it out, the signature tells who sends")
        if parts.scheme == "http" and not _is_this_machine(host):
            raise ValueError(f"would send events unencrypted to {host}; give https://...")
        return url

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.secret_file is None) == (self.secret_credential is None):
            raise ValueError("give either secret_file or secret_credential")
        return self


class WebhookAdapterSettings(AdapterSettings):
    """File of an adapter that posts events to a server."""

    webhook: WebhookSettings
    """Where to."""

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        hook = self.webhook
        places = {
            "secret_file": None if hook.secret_file is None else folder / hook.secret_file,
            "ca_file": None if hook.ca_file is None else folder / hook.ca_file,
        }
        return super().relative_to(folder).model_copy(update={"webhook": hook.model_copy(update=places)})


def load_files_adapter(path: Path) -> FilesAdapterSettings:
    """Read the file of a files adapter; its relative paths come back joined to its folder.

    Raises:
        InputError: the file is missing, is no TOML, or a key or value is wrong; all problems are listed.
    """
    return load_toml(path, FilesAdapterSettings).relative_to(path.parent)


def load_webhook_adapter(path: Path) -> WebhookAdapterSettings:
    """Read the file of a webhook adapter; paths and errors as `load_files_adapter`."""
    return load_toml(path, WebhookAdapterSettings).relative_to(path.parent)


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
