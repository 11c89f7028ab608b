"""`glass-edge adapter opcua`: an OPC UA server, its certificate and its users.

Promises: those of `adapter_run`; a password is asked for, or read from a pipe, and never stands in the command.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.cli.adapter_run import ConfigOption, DryRunOption, client_keys, run_adapter

if TYPE_CHECKING:
    from glass_edge.config.adapter_opcua import OpcuaSettings


def opcua(
    *,
    config: ConfigOption,
    dry_run: DryRunOption = False,
    make_certificate: Annotated[
        bool, typer.Option("--make-certificate", help="Make the certificate and key of the server, and end.")
    ] = False,
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="With --make-certificate: a name or address by which clients reach the server; again for more."
        ),
    ] = None,
    add_user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Add a user, or change one, and end; the password is asked for.")
    ] = None,
    role: Annotated[str, typer.Option(help="With --add-user: observer, controller or engineer.")] = "observer",
    remove_user: Annotated[str | None, typer.Option(metavar="NAME", help="Remove a user, and end.")] = None,
) -> None:
    """Show the station as a vision system of OPC 40100-1, and take commands for it."""
    from glass_edge.adapters.opcua import OpcuaSink, plan
    from glass_edge.config.adapter_opcua import load_opcua_adapter
    from glass_edge.errors import InputError

    settings = load_opcua_adapter(config)
    if sum((dry_run, make_certificate, add_user is not None, remove_user is not None)) > 1:
        raise InputError("--dry-run, --make-certificate, --add-user and --remove-user: give one of them")
    if make_certificate:
        _make_certificate(settings.opcua, host or [])
    elif add_user is not None:
        _add_user(settings.opcua, add_user, role)
    elif remove_user is not None:
        from glass_edge.adapters.opcua_users import remove_user as remove

        remove(settings.opcua.users, remove_user)
        typer.echo(f"{remove_user} is no user any more")
    else:
        keys = client_keys(settings.source)
        run_adapter(settings, lambda: OpcuaSink(settings, keys), plan, is_dry=dry_run)


def _make_certificate(settings: OpcuaSettings, hosts: list[str]) -> None:
    import socket

    from glass_edge.adapters.opcua_certificates import make_certificate

    names = hosts or [socket.gethostname()]
    certificate = make_certificate(settings, names)
    typer.echo(f"{settings.private_key}: the key; it stays here")
    typer.echo(
        f"{settings.certificate}: the certificate, for clients to trust; for {settings.application_uri},"
        f" {', '.join(names)}; valid until {certificate.not_valid_after_utc:%Y-%m-%d}"
    )


def _add_user(settings: OpcuaSettings, name: str, role: str) -> None:
    import getpass

    from glass_edge.adapters.opcua_users import add_user
    from glass_edge.config.events import Role
    from glass_edge.errors import InputError

    try:
        wanted = Role(role)
    except ValueError:
        raise InputError(f"'{role}' is no role; give {', '.join(Role)}") from None
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password of {name}: ")
        if getpass.getpass("Again: ") != password:
            raise InputError("the two passwords differ; nothing was changed")
    else:
        password = sys.stdin.readline().rstrip("\n")
    add_user(settings.users, name, wanted, password)
    typer.echo(f"{settings.users}: {name} is a user, {wanted}")
