"""Events published to an MQTT 5 broker, with the state of the station for those who come late.

Promises: an event is done when the broker acknowledged it (QoS 1); events arrive in order, at least once, and never one
after a later one that was not preceded by it; a broker that is away for hours loses nothing, for the station's journal
keeps what was not delivered; the state that is shown goes on where it was when the adapter starts again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from glass_edge.adapters.loop_thread import LoopThread
from glass_edge.adapters.mqtt_client import Login
from glass_edge.adapters.mqtt_documents import SessionFile
from glass_edge.adapters.mqtt_messages import Standing
from glass_edge.adapters.mqtt_session import MqttSession
from glass_edge.adapters.mqtt_tls import read_password, tls_context
from glass_edge.adapters.mqtt_topics import Topics
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.adapters.sink import RetryableError
from glass_edge.adapters.station_view import StationView, ViewFile, first_view
from glass_edge.config.adapter_mqtt import MqttAdapterSettings
from glass_edge.events.client import Received
from glass_edge.events.sequencer import EpochChanged, Lost

_MOST_EVENTS = 50


class MqttSink:
    """Publishes event documents and the state of their station.

    Args:
        settings: of the adapter.
        log: where trouble with the broker is told.
        see: the station as it stands, asked for when the state folder holds no view; None: it begins with an event.

    Raises:
        InputError: password, certificates or a file of the state folder are wrong.
    """

    def __init__(
        self, settings: MqttAdapterSettings, log: RepeatedLog, see: Callable[[], StationView | None] = lambda: None
    ) -> None:
        self.most_events = _MOST_EVENTS
        folder = settings.state.folder
        login_of(settings)  # what is wrong from the start is told at once
        self._views = ViewFile(folder / "view.json")
        self._view = self._views.read() or see()
        self._standing: Standing | None = None
        self._timeout_s = settings.mqtt.timeout_s
        self._session = MqttSession(
            settings, lambda: login_of(settings), SessionFile(folder / "session.json"), self._view, log
        )
        self._loop = LoopThread("mqtt", lambda text: log.tell(f"loop {text}", text))
        self._loop.__enter__()
        self._running = self._loop.start(self._session.run())

    def close(self) -> None:
        """Tell the death of the session when the broker is there, and end the connection."""
        try:
            if not self._running.done():
                self._loop.start(self._session.end())
                with contextlib.suppress(TimeoutError):  # the broker is away, and tells the last will
                    self._running.result(self._timeout_s)
        finally:
            self._loop.close()

    def handle(self, received: Received) -> None:
        """Publish one event. Raises as `handle_many`."""
        self.handle_many([received])

    def handle_many(self, batch: Sequence[Received]) -> None:
        """Publish events that follow each other.

        Raises:
            RetryableError: the broker is away or refuses for now.
            PermanentError: the broker never takes one of them.
            InputError, OSError: the view cannot be kept; nothing was published.
        """
        self._require_running()
        view = self._view
        for received in batch:
            view = first_view(received.event) if view is None else view.after(received.event)
        assert view is not None
        if view is not self._view:  # before the events go, so that none is published twice while the disk is full
            self._views.write(view)
            self._view = view
        try:
            self._loop.call(self._session.deliver(batch, view), (len(batch) + 3) * self._timeout_s)
        except TimeoutError as error:  # each step has its own limit: this machine has no time for them
            raise RetryableError("the events were not published in time; this machine is overloaded") from error

    def stands(self, *, is_heard: bool, is_behind: bool) -> None:
        """Show how the adapter stands to its station."""
        self._require_running()
        standing = Standing(is_heard, is_behind)
        if standing != self._standing:
            self._standing = standing
            self._loop.start(self._session.stands(standing))  # waits for nothing, and cannot fail

    def idle(self, *, is_heard: bool) -> None:
        """Tell of a broker that is away.

        Raises:
            RetryableError: it is.
        """
        del is_heard  # shown by `stands`
        self._require_running()
        problem = self._session.problem()
        if problem is not None:
            raise RetryableError(problem)

    def told(self, notice: Lost | EpochChanged) -> None:
        """Nothing to publish: the numbers of the events tell it."""

    def _require_running(self) -> None:
        if self._running.done():
            self._running.result()  # raises what ended it


def login_of(settings: MqttAdapterSettings) -> Login:
    """Who connects and how, with passwords and certificates as they are now.

    Raises:
        InputError: one of them is absent, open to others or wrong.
    """
    mqtt = settings.mqtt
    return Login(
        place=mqtt.place,
        client_id=settings.client_id,
        user=mqtt.user,
        password=read_password(mqtt),
        tls=tls_context(mqtt),
        keep_alive_s=mqtt.keep_alive_s,
        timeout_s=mqtt.timeout_s,
    )


def plan(settings: MqttAdapterSettings, received: Received) -> str:
    """What `MqttSink` would do with an event."""
    topic = Topics(f"{settings.mqtt.prefix}/{settings.station}").of_event(received.event)
    return f"would publish {len(received.document.encode())} bytes to {topic}"
