"""`glass-edge adapter run`: the adapter that a file describes, whichever kind it is.

Promises: the kind is the file's table that names one, so that a service unit needs the file alone; what follows is that
of the kind's own command.
"""

from __future__ import annotations

from glass_edge.cli.adapter_run import ConfigOption, DryRunOption

_NO_KINDS = ("any", "notes", "run")  # modules of this package that are named like one


def any_adapter(*, config: ConfigOption, dry_run: DryRunOption = False) -> None:
    """Run the adapter of a file; its table, such as [files] or [webhook], says of which kind it is."""
    import importlib

    kind = kind_of(config)
    getattr(importlib.import_module(f"glass_edge.cli.adapter_{kind}"), kind)(config=config, dry_run=dry_run)


def kinds() -> list[str]:
    """The kinds of adapters that there are: `adapter_KIND` holds the command KIND."""
    import pkgutil

    import glass_edge.cli

    names = [module.name for module in pkgutil.iter_modules(glass_edge.cli.__path__)]
    found = [name.removeprefix("adapter_") for name in names if name.startswith("adapter_")]
    return sorted(set(found) - set(_NO_KINDS))


def kind_of(config: ConfigOption) -> str:
    """The kind of adapter that a file describes.

    Raises:
        InputError: the file cannot be read, or has no table of a kind, or several.
    """
    from pydantic import ConfigDict

    from glass_edge.config.base import Settings, load_toml
    from glass_edge.errors import InputError

    class Tables(Settings):
        model_config = ConfigDict(extra="allow")

    tables = load_toml(config, Tables).model_extra or {}
    known = kinds()
    found = [kind for kind in known if kind in tables]
    if len(found) == 1:
        return found[0]
    wanted = ", ".join(f"[{kind}]" for kind in known)
    has = "has none of them" if not found else f"has {' and '.join(f'[{kind}]' for kind in found)}"
    raise InputError(f"{config}: one of the tables {wanted} says of which kind the adapter is; the file {has}")
