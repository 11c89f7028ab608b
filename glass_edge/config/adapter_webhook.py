"""The file of an adapter that posts events to a server.

Promises: those of `adapters`; the URL is https unless its host is this machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from glass_edge.config.adapters import CREDENTIAL_PATTERN, AdapterSettings, is_this_machine
from glass_edge.config.base import Settings, load_toml


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
        if parts.scheme == "http" and not is_this_machine(host):
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


def load_webhook_adapter(path: Path) -> WebhookAdapterSettings:
    """Read the file of a webhook adapter; its relative paths come back joined to its folder.

    Raises:
        InputError: the file is missing, is no TOML, or a key or value is wrong; all problems are listed.
    """
    return load_toml(path, WebhookAdapterSettings).relative_to(path.parent)
