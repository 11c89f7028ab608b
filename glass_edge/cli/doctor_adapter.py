"""What the doctor sees of an adapter: its file, its secrets, its folder, and how it does.

Promises: nothing is delivered and nobody is connected to; a running adapter is not disturbed.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel

    from glass_edge.config.adapters import AdapterSettings
    from glass_edge.service.doctor.finding import Finding

_OLD_S = 120.0
_SECRETS = {"secret_file", "password_file", "private_key", "client_key"}


def adapter_findings(file: Path) -> Iterator[Finding]:
    """What is seen of the adapter that `file` describes. Raises InputError with the remedy."""
    from glass_edge.cli.adapter_any import kind_of
    from glass_edge.cli.adapter_run import client_keys
    from glass_edge.service.doctor.finding import bad, good
    from glass_edge.service.doctor.storage import existing

    kind = kind_of(file)
    load = getattr(importlib.import_module(f"glass_edge.config.adapter_{kind}"), f"load_{kind}_adapter")
    settings: AdapterSettings = load(file)
    client_keys(settings.source)
    secrets = _secrets(getattr(settings, kind))
    told = f", {len(secrets)} secrets that others cannot read" if secrets else ""
    yield good("adapter", f"{settings.adapter}: {kind}, follows {settings.source.publish_endpoint}{told}")
    folder = existing(settings.state.folder)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        remedy = f"as root: install -d -o {os.geteuid()} {settings.state.folder}"
        yield bad("adapter", f"{settings.adapter}: {folder} cannot be written by user {os.geteuid()}", remedy)
    yield from _state(settings)


def _secrets(own: BaseModel) -> list[Path]:
    """Files of the secrets that a table of settings names, each refused where others may read it."""
    from glass_edge.adapters.secret import secret_path
    from glass_edge.config.events import CREDENTIAL_PREFIX

    places = []
    for name, value in own:
        if value is None:
            continue
        if name.endswith("_credential"):
            places.append(f"{CREDENTIAL_PREFIX}{value}")
        elif name in _SECRETS:
            places.append(str(value))
    return [secret_path(place) for place in places]


def _state(settings: AdapterSettings) -> Iterator[Finding]:
    from glass_edge.adapters.status_file import AdapterState, read_status
    from glass_edge.service.doctor.finding import bad, care, good

    path = settings.state.folder / "status.json"
    if not path.exists():
        yield care("adapter", f"{settings.adapter}: never ran", "start it: glass-edge adapter run --config FILE")
        return
    now = read_status(path)
    age_s = (datetime.now(UTC) - now.written_utc).total_seconds()
    said = f"{settings.adapter}: {now.state}, {now.delivered} delivered, {now.refused} refused"
    error = "" if now.last_error is None else now.last_error.text
    if now.state is AdapterState.FAILED:
        yield bad("adapter", f"{said}; {error}", "mend that, then start it again")
    elif now.state is AdapterState.STOPPED:
        yield care("adapter", said, "start it again if it should run")
    elif age_s > _OLD_S:
        remedy = f"process {now.pid} died or hangs: start it again"
        yield bad("adapter", f"{said}; its state is {age_s:.0f} s old", remedy)
    elif now.state is AdapterState.FOLLOWING:
        yield good("adapter", said)
    else:
        why = error or "the station is not heard"
        yield care("adapter", f"{said}; {why}", "it goes on by itself once that is mended")
