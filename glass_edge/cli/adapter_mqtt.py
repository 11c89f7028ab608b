"""`glass-edge adapter mqtt`: events published to an MQTT 5 broker.

Promises: those of `adapter_run`; where the state folder holds no view of the station, the station is asked for what it
tells to late clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glass_edge.cli.adapter_run import ConfigOption, DryRunOption, client_keys, run_adapter

if TYPE_CHECKING:
    from glass_edge.adapters.station_view import StationView
    from glass_edge.config.adapter_mqtt import MqttAdapterSettings


def mqtt(*, config: ConfigOption, dry_run: DryRunOption = False) -> None:
    """Publish each event, and the state of the station, to an MQTT 5 broker."""
    from glass_edge.adapters.mqtt import MqttSink, plan
    from glass_edge.adapters.repeated_log import RepeatedLog
    from glass_edge.config.adapter_mqtt import load_mqtt_adapter

    settings = load_mqtt_adapter(config)
    log = RepeatedLog(settings.adapter)
    run_adapter(
        settings,
        lambda: MqttSink(settings, log, lambda: _see(settings)),
        lambda received: plan(settings, received),
        is_dry=dry_run,
    )


def _see(settings: MqttAdapterSettings) -> StationView | None:
    """The station as its snapshot tells it; None when the oldest event is to come first, or the station is away."""
    from datetime import UTC, datetime

    from glass_edge.adapters.station_view import view_of_snapshot
    from glass_edge.events.errors import NoAnswerError
    from glass_edge.events.requester import request_snapshot

    source = settings.source
    if source.start == "oldest" and not (settings.state.folder / "offset.json").exists():
        return None
    try:
        epoch, snapshot = request_snapshot(source.request_endpoint, keys=client_keys(source))
    except NoAnswerError:
        return None  # the view begins with the next event
    return view_of_snapshot(settings.station, epoch, snapshot, datetime.now(UTC))
