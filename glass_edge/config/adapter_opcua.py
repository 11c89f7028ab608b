"""The file of an adapter that is an OPC UA server.

Promises: those of `adapters`; without encryption the server is on this machine only, and only because the file says so;
users come with a password unless the file lets anonymous ones look.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from glass_edge.config.adapters import AdapterSettings, is_this_machine, secret_relative_to
from glass_edge.config.base import Settings, load_toml

_URL = re.compile(r"opc\.tcp://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})(?P<path>/[\w./-]*)?")


class OpcuaSettings(Settings):
    """An OPC UA server."""

    endpoint: str = "opc.tcp://0.0.0.0:4840/glass-edge"
    """Address that it listens on: opc.tcp://ADDRESS:PORT/PATH; 0.0.0.0 is every IPv4 address of this machine."""
    application_uri: str = Field(pattern=r"^urn:[A-Za-z0-9:._-]{1,200}$")
    """Name of the server, unique in the mill; it stands in the certificate: urn:MILL:glass-edge:STATION."""
    security: Literal["sign_and_encrypt", "none"] = "sign_and_encrypt"
    """sign_and_encrypt: Basic256Sha256 and Aes256_Sha256_RsaPss, nothing weaker. none: on this machine only."""
    certificate: Path | None = None
    """Certificate of the server, DER or PEM; `--make-certificate` makes one."""
    private_key: str | None = None
    """File of its private key, PEM, mode 0600, or credential:NAME."""
    trusted: Path | None = None
    """Folder of the certificates of the clients that may connect, DER or PEM, a file each."""
    users: Path = Path("opcua-users.json")
    """File of users, mode 0600; `--add-user` writes it."""
    allow_anonymous: bool = False
    """True: a client without a user may look, as an observer."""
    command_timeout_s: float = Field(default=5.0, ge=0.1, le=30)
    """How long a method waits for the station's answer, s."""
    most_clients: int = Field(default=20, ge=1, le=200)
    """Most connections at a time."""
    most_results: int = Field(default=50, ge=1, le=500)
    """Rolls whose results are kept and shown; the oldest go."""
    most_defects: int = Field(default=500, ge=0, le=20_000)
    """Most defects in the content of a result, those with the highest scores; their number is always told."""

    @field_validator("endpoint")
    @classmethod
    def _url(cls, endpoint: str) -> str:
        match = _URL.fullmatch(endpoint)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise ValueError("is no address of an OPC UA server; give opc.tcp://ADDRESS:PORT/PATH")
        return endpoint

    @model_validator(mode="after")
    def _secure(self) -> Self:
        if self.security == "none":
            if not is_this_machine(self.host):
                raise ValueError(f"security = 'none' would be open to the network at {self.host}; give 127.0.0.1")
            return self
        missing = [name for name in ("certificate", "private_key", "trusted") if getattr(self, name) is None]
        if missing:
            raise ValueError(f"security = 'sign_and_encrypt' needs {', '.join(missing)}")
        return self

    @property
    def host(self) -> str:
        """Address or name that it listens on, without brackets."""
        return self._part("host").strip("[]")

    @property
    def port(self) -> int:
        """TCP port."""
        return int(self._part("port"))

    def _part(self, name: str) -> str:
        match = _URL.fullmatch(self.endpoint)
        assert match is not None  # checked when it was made
        return match[name]

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        places = {
            "certificate": None if self.certificate is None else folder / self.certificate,
            "private_key": None if self.private_key is None else secret_relative_to(self.private_key, folder),
            "trusted": None if self.trusted is None else folder / self.trusted,
            "users": folder / self.users,
        }
        return self.model_copy(update=places)


class OpcuaAdapterSettings(AdapterSettings):
    """File of an adapter that is an OPC UA server."""

    opcua: OpcuaSettings
    """The server."""

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        return super().relative_to(folder).model_copy(update={"opcua": self.opcua.relative_to(folder)})


def load_opcua_adapter(path: Path) -> OpcuaAdapterSettings:
    """Read the file of an OPC UA adapter; its relative paths come back joined to its folder.

    Raises:
        InputError: the file is missing, is no TOML, or a key or value is wrong; all problems are listed.
    """
    return load_toml(path, OpcuaAdapterSettings).relative_to(path.parent)
