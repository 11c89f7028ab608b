"""Entry point of `glass-edge`.

Promises: exit code 0 done, 1 it failed, 2 the input or the configuration is wrong, 130 interrupted; a person never sees
a traceback for an error the program foresaw (`GLASS_EDGE_TRACEBACK=1` shows it).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from glass_edge import __version__
from glass_edge.cli import (
    adapter,
    bench,
    build,
    bundle,
    bypass,
    calibrate,
    camera,
    challenge,
    config,
    demo,
    doctor,
    drift,
    engine,
    evaluate,
    events,
    feedback,
    import_reference,
    keys,
    pod,
    recipe,
    reload,
    replay,
    report,
    roll,
    simulate,
    stop,
    train,
)
from glass_edge.cli import run as run_station
from glass_edge.cli.log_output import log_to_stderr
from glass_edge.errors import GlassEdgeError

INTERRUPTED = 130

app = typer.Typer(
    name="glass-edge",
    help="Fabric inspection at the loom: train a style, build its engine, inspect, publish defects.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _module in (
    demo,
    doctor,
    challenge,
    feedback,
    run_station,
    reload,
    replay,
    report,
    drift,
    train,
    evaluate,
    pod,
    build,
    import_reference,
    bench,
    bundle,
    engine,
    events,
    keys,
    adapter,
    roll,
    recipe,
    stop,
    bypass,
    config,
    camera,
    calibrate,
    simulate,
):
    _module.register(app)

# typer carries a click of its own, and newer ones do not say where: its usage errors are known by their base class.
_UsageProblem: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    del version
    log_to_stderr()


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
    except _UsageProblem as error:
        error.show()
        return 2
    except (typer.Abort, KeyboardInterrupt):
        result = INTERRUPTED
    if result == INTERRUPTED:  # typer turns Ctrl-C into this code itself, and says nothing
        typer.echo("interrupted", err=True)
    return result if isinstance(result, int) else 0
