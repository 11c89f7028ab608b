"""`glass-edge adapter sql`: events in an SQL database, with tables that people query.

Promises: those of `adapter_run`; printing the tables' statements touches no database.
"""

from __future__ import annotations

from typing import Annotated

import typer

from glass_edge.cli.adapter_run import ConfigOption, DryRunOption, run_adapter

PrintDdlOption = Annotated[
    bool, typer.Option("--print-ddl", help="Print the statements that make the tables, for a person to run, and end.")
]


def sql(*, config: ConfigOption, dry_run: DryRunOption = False, print_ddl: PrintDdlOption = False) -> None:
    """Write each event to an SQL database, PostgreSQL or SQLite."""
    from glass_edge.adapters.sql_extra import require_extra
    from glass_edge.adapters.sql_plan import plan
    from glass_edge.config.adapter_sql import load_sql_adapter

    settings = load_sql_adapter(config)
    require_extra(settings.sql)
    from glass_edge.adapters.sql import SqlSink
    from glass_edge.adapters.sql_schema import ddl

    if print_ddl:
        typer.echo(ddl(settings.sql), nl=False)
        return
    run_adapter(settings, lambda: SqlSink(settings.sql, settings.adapter), plan, is_dry=dry_run)
