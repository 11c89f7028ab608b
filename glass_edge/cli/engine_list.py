"""`glass-edge engine list`: the engines of a station.

Promises: what decides is what the running station says; without one, what its next start takes; nothing is changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glass_edge.cli.station_options import AnswerOption, ClientKeyOption, ServerKeyOption, connection

if TYPE_CHECKING:
    from glass_edge.events.curve_keys import ClientKeys
    from glass_edge.service.engine_listing import ListedEngine

_ANSWER_S = 2.0


def list_engines(
    *,
    config: Annotated[Path, typer.Option("--config", help="Station file.")],
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    as_json: AnswerOption = False,
) -> None:
    """List the versions of every style: which decides, which did before, what is on trial or was given up, and why."""
    from glass_edge.config.station import load_station
    from glass_edge.service.engine_listing import engines_of
    from glass_edge.service.engine_memory import EngineMemory, memory_path

    settings = load_station(config)
    memory = EngineMemory(memory_path(settings.events.journal), settings.bundle)
    decides = _decides(*connection(config, None, server_key, client_key))
    found = engines_of(settings, memory, decides)
    if as_json:
        styles = {style: [_document(one) for one in versions] for style, versions in found.items()}
        typer.echo(json.dumps({"station": settings.station, "runs": decides is not None, "styles": styles}, indent=2))
        return
    typer.echo(f"station {settings.station} {'runs' if decides is not None else 'does not run'}")
    for style, versions in found.items():
        for one in versions:
            _print(style, one)


def _decides(endpoint: str, keys: ClientKeys | None) -> tuple[str, str] | None:
    """Style and version that the running station says; None: it does not run, or has no engine yet."""
    from glass_edge.events.errors import NoAnswerError
    from glass_edge.events.requester import request_snapshot

    try:
        _, snapshot = request_snapshot(endpoint, timeout_s=_ANSWER_S, keys=keys)
    except NoAnswerError:
        return None
    return None if snapshot.engine is None else (snapshot.engine.style, snapshot.engine.version)


def _print(style: str, one: ListedEngine) -> None:
    if one.bundle is None:
        typer.echo(f"\n{style} {one.folder.name}\n  {one.problem}")
        return
    manifest = one.bundle.manifest
    roles = list(one.roles)
    if one.trial_left_s is not None:
        roles.append(f"on trial for {one.trial_left_s / 60:.1f} min of inspection more")
    typer.echo(f"\n{style} {manifest.version}{': ' if roles else ''}{', '.join(roles)}")
    typer.echo(f"  manifest   SHA-256 {one.bundle.manifest_sha256}")
    signers = "; ".join(str(signature) for signature in one.bundle.signatures) or "nobody"
    typer.echo(f"  signed by  {signers}{' (trusted)' if one.is_trusted and one.bundle.signatures else ''}")
    if one.distrust is not None:
        typer.echo(f"  refused    {one.distrust}")
    promise = manifest.threshold.promise
    promised = "no promise" if promise is None else f"at most {promise.high_per_100m:.3g} false alarms in 100 m"
    typer.echo(f"  threshold  {manifest.threshold.logit:.4g}, {promised}")
    came = "not known (copied by hand)" if one.installed_utc is None else f"{one.installed_utc:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"  installed  {came}")
    if one.refused is not None:
        typer.echo(f"  given up   {one.refused.at_utc:%Y-%m-%d %H:%M} UTC: {one.refused.reason}")


def _document(one: ListedEngine) -> dict[str, Any]:
    document: dict[str, Any] = {"folder": str(one.folder), "problem": one.problem}
    if one.bundle is None:
        return document
    manifest = one.bundle.manifest
    promise = manifest.threshold.promise
    return document | {
        "version": manifest.version,
        "manifest_sha256": one.bundle.manifest_sha256,
        "signers": [signature.signer for signature in one.bundle.signatures],
        "is_trusted": one.is_trusted,
        "distrust": one.distrust,
        "threshold_logit": manifest.threshold.logit,
        "promised_per_100m": None if promise is None else promise.high_per_100m,
        "installed_utc": None if one.installed_utc is None else one.installed_utc.isoformat(),
        "roles": list(one.roles),
        "trial_left_s": one.trial_left_s,
        "refused": None if one.refused is None else one.refused.model_dump(mode="json"),
    }
