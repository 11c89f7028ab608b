"""The messages of the MQTT adapter.

Promises: an event's payload is the document as the station published it; only birth, death and state are kept by the
broker for ever, and ends of rolls for their time, so what it keeps for a station is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from glass_edge import __version__
from glass_edge.adapters.mqtt_documents import Birth, Death, DeathReason, StateMessage
from glass_edge.adapters.mqtt_topics import Topics
from glass_edge.adapters.station_view import StationView
from glass_edge.config.adapter_mqtt import MqttAdapterSettings
from glass_edge.events.client import Received
from glass_edge.events.payloads import Document
from glass_edge.events.schema import SCHEMA_VERSION, Event, Kind

_DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Message:
    """What is published.

    Attributes:
        topic: where.
        payload: a JSON document.
        is_retained: the broker keeps it for late subscribers.
        expiry_s: time after which it forgets it, s; None: never.
        properties: user properties, beside number and session.
    """

    topic: str
    payload: bytes
    is_retained: bool = False
    expiry_s: int | None = None
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """How the adapter stands to its station.

    Attributes:
        is_heard: the station lives.
        is_behind: events of it are known to be missing here.
    """

    is_heard: bool
    is_behind: bool


class Messages:
    """Makes the messages of one station.

    Args:
        settings: of the adapter.
    """

    def __init__(self, settings: MqttAdapterSettings) -> None:
        self.topics = Topics(f"{settings.mqtt.prefix}/{settings.station}")
        self._settings = settings

    def birth(self, session: int, view: StationView | None) -> tuple[Birth, Message]:
        """A session began."""
        birth = Birth(
            station=self._settings.station,
            session=session,
            born_utc=datetime.now(UTC),
            adapter=self._settings.adapter,
            program_version=__version__,
            schema_version=SCHEMA_VERSION,
            epoch=None if view is None else view.epoch,
            topics=self.topics.filters(),
        )
        return birth, _kept(self.topics.birth, birth)

    def death(self, session: int, reason: DeathReason) -> Message:
        """A session ended."""
        return _kept(self.topics.death, Death(station=self._settings.station, session=session, reason=reason))

    def state(self, session: int, view: StationView | None, standing: Standing) -> Message:
        """The station as it is."""
        state = StateMessage(
            session=session,
            sent_utc=datetime.now(UTC),
            is_heard=standing.is_heard,
            is_behind=standing.is_behind,
            view=view,
        )
        return _kept(self.topics.state, state)

    def event(self, received: Received) -> Message:
        """An event; it is historical when it is older than the settings say."""
        event = received.event
        age_s = max(0.0, (datetime.now(UTC) - event.stamp_utc).total_seconds())
        left_s = self._keep_s(event, age_s)
        return Message(
            self.topics.of_event(event),
            received.document.encode(),
            is_retained=left_s > 0,
            expiry_s=left_s or None,
            properties=(("historical", "true" if age_s >= self._settings.mqtt.historical_s else "false"),),
        )

    def _keep_s(self, event: Event, age_s: float) -> int:
        """Time for which the broker is to keep an event, s; 0: not at all."""
        return max(0, int(self._settings.mqtt.roll_days * _DAY_S - age_s)) if event.kind == Kind.ROLL_END else 0


def _kept(topic: str, document: Document) -> Message:
    return Message(topic, document.model_dump_json().encode(), is_retained=True)
