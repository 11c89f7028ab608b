"""Entry point of `glass-edge`.

Promises: exit code 0 done, 1 it failed, 2 the input or the configuration is wrong, 130 interrupted; a person never sees
a traceback for an error the program foresaw (`GLASS_EDGE_TRACEBACK=1` shows it).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
import typer

from glass_edge import __version__
from glass_edge.errors import GlassEdgeError

app = typer.Typer(
    name="glass-edge",
    help="Fabric inspection at the loom: train a style, build its engine, inspect, publish defects.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    del version


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        result = app(args=arguments, standalone_mode=False)
    except GlassEdgeError as error:
        if os.environ.get("GLASS_EDGE_TRACEBACK"):
            raise
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        typer.echo("interrupted", err=True)
        return 130
    return result if isinstance(result, int) else 0
