"""`glass-edge keys`: make CURVE keys, and say which clients may connect to a station over tcp, and what they may.

Promises: no key is overwritten; a secret key is never printed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from glass_edge.config.events import Role

ClientsOption = Annotated[
    Path, typer.Option(help="Folder of the clients that may connect, allowed_clients of the station.")
]


def register(app: typer.Typer) -> None:
    """Add the group `keys` to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Make CURVE keys; allow and revoke clients of a station.")
    group.command("new")(new)
    group.command("allow")(allow)
    group.command("revoke")(revoke)
    group.command("list")(list_clients)
    app.add_typer(group, name="keys")


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is: a station or a client.")],
    *,
    folder: Annotated[Path, typer.Option(help="Folder for NAME.key_secret and NAME.key.")] = Path(),
) -> None:
    """Make a key pair: a secret file (mode 0600) for its owner, a public one for the other side."""
    from glass_edge.events.curve_keys import make_key_pair

    secret, public = make_key_pair(folder, name)
    typer.echo(f"{secret}: the secret key; it stays with {name}")
    typer.echo(f"{public}: the public key, for the other side")


def allow(
    public: Annotated[Path, typer.Argument(metavar="FILE", help="Public key of the client, NAME.key.")],
    *,
    clients: ClientsOption,
    role: Annotated[
        Role | None,
        typer.Option(help="What it may; default: what it may already, observer for a new client.", show_default=False),
    ] = None,
) -> None:
    """Let a client connect, or give it another role, from now on; a running station need not be started again."""
    from glass_edge.events.curve_keys import allow as allow_client
    from glass_edge.events.curve_keys import allowed

    path = allow_client(public, clients, role)
    typer.echo(f"{path}: may connect, as {allowed(clients)[path.stem].role}")


def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the client, as `list` tells it.")],
    *,
    clients: ClientsOption,
) -> None:
    """Let a client connect no longer; a running station cuts it off with its next beacon."""
    from glass_edge.events.curve_keys import revoke as revoke_client

    revoke_client(name, clients)
    typer.echo(f"{name} may connect no longer")


def list_clients(
    *,
    clients: ClientsOption,
    as_json: Annotated[bool, typer.Option("--json", help="Names, keys and roles as one JSON document.")] = False,
) -> None:
    """List the clients that may connect, with their public keys and roles."""
    from glass_edge.events.curve_keys import allowed

    found = allowed(clients)
    if as_json:
        told = {name: {"public_key": client.public.decode(), "role": client.role} for name, client in found.items()}
        typer.echo(json.dumps(told, indent=2))
        return
    for name, client in found.items():
        typer.echo(f"{name:24} {client.public.decode()} {client.role}")
    if not found:
        typer.echo("no client may connect")
