"""Where a running station is, and who asks: options that commands to it share.

Promises: every command that speaks to a station finds it in the same way and names the one who asks in the journal.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from glass_edge.events.curve_keys import ClientKeys

ServerKeyOption = Annotated[Path | None, typer.Option(help="Public key of the station (NAME.key), for tcp with CURVE.")]
ClientKeyOption = Annotated[
    str | None,
    typer.Option(help="Secret key of this client (NAME.key_secret, or credential:NAME), for tcp with CURVE."),
]
ConfigOption = Annotated[Path | None, typer.Option(help="Station file of the running station.")]
RequestOption = Annotated[
    str | None, typer.Option("--request", help="Where the station answers requests, instead of --config.")
]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=0.1, help="How long to wait for an answer, s.")]
OperatorOption = Annotated[
    str | None, typer.Option(help="Who asks, for the journal; default: the user of this shell.", show_default=False)
]
AnswerOption = Annotated[bool, typer.Option("--json", help="Print the station's answer as JSON.")]


class Connection(NamedTuple):
    """How to reach a station."""

    endpoint: str
    keys: ClientKeys | None


def connection(config: Path | None, request: str | None, server_key: Path | None, client_key: str | None) -> Connection:
    """The station that the options mean.

    Raises:
        InputError: options that exclude each other, or a file that cannot be used.
    """
    from glass_edge.config.events import DEFAULT_REQUEST_ENDPOINT
    from glass_edge.config.station import load_station
    from glass_edge.errors import InputError

    if config is not None and request is not None:
        raise InputError("give --config or --request, not both")
    endpoint = load_station(config).events.request_endpoint if config is not None else request
    return Connection(endpoint or DEFAULT_REQUEST_ENDPOINT, client_keys(server_key, client_key))


def client_keys(server_key: Path | None, client_key: str | None) -> ClientKeys | None:
    """Keys of the two options, which go together.

    Raises:
        InputError: one without the other, or a file that cannot be used.
    """
    from glass_edge.errors import InputError
    from glass_edge.events.curve_keys import ClientKeys, read_pair, read_public

    if server_key is None and client_key is None:
        return None
    if server_key is None or client_key is None:
        raise InputError("--server-key and --client-key go together: the station's public and the client's secret key")
    return ClientKeys(read_public(server_key), read_pair(client_key))


def operator_name(given: str | None) -> str:
    """Who asks: as given, else the user of this shell, empty where that has no name."""
    import getpass

    if given is not None:
        return given
    try:
        return getpass.getuser()[:128]
    except (OSError, KeyError):  # a user id without a name
        return ""
