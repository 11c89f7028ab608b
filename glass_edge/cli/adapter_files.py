"""`glass-edge adapter files`: files of each roll.

Promises: those of `adapter_run`.
"""

from __future__ import annotations

from glass_edge.cli.adapter_run import ConfigOption, DryRunOption, run_adapter


def files(*, config: ConfigOption, dry_run: DryRunOption = False) -> None:
    """Write ROLL.json and ROLL-defects.csv into a folder at each roll's end."""
    from glass_edge.adapters.files import FilesSink, plan
    from glass_edge.config.adapter_files import load_files_adapter

    settings = load_files_adapter(config)
    store = settings.state.folder / "rolls.sqlite"
    run_adapter(settings, lambda: FilesSink(settings.files, store), plan, is_dry=dry_run)
