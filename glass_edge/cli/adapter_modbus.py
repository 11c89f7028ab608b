"""`glass-edge adapter modbus`: a station's state for controllers, over Modbus TCP.

Promises: those of `adapter_run`; the map is printed without a file, a station or the Modbus library.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glass_edge.cli.adapter_run import DryRunOption, client_keys, run_adapter


class MapFormat(StrEnum):
    """How the register map is printed."""

    CSV = "csv"
    MARKDOWN = "markdown"
    JSON = "json"


def modbus(
    *,
    config: Annotated[Path | None, typer.Option(help="Adapter file.")] = None,
    dry_run: DryRunOption = False,
    print_map: Annotated[
        MapFormat | None, typer.Option("--print-map", help="Print the register map, do nothing, and end.")
    ] = None,
) -> None:
    """Serve the station's state to controllers over Modbus TCP, and carry their answers and commands."""
    if print_map is not None:
        from glass_edge.adapters.modbus_reference import map_text

        typer.echo(map_text(print_map.value), nl=False)
        return
    if config is None:
        raise typer.BadParameter("give --config FILE, or --print-map")
    from glass_edge.adapters.modbus import ModbusSink, plan
    from glass_edge.config.adapter_modbus import load_modbus_adapter

    settings = load_modbus_adapter(config)
    keys = client_keys(settings.source)
    run_adapter(settings, lambda: ModbusSink(settings, keys), plan, is_dry=dry_run)
