"""The state of a station for controllers, over Modbus TCP.

Promises: an event is in the registers before it is committed, and the view of the station is on disk then, so a
restart shows it at once, marked as not live until the station is heard; a port that cannot be had holds no event up and
is tried again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

from glass_edge import __version__
from glass_edge.adapters.loop_thread import LoopThread
from glass_edge.adapters.modbus_bank import RegisterBank
from glass_edge.adapters.modbus_calls import StationCalls
from glass_edge.adapters.modbus_codec import Coding
from glass_edge.adapters.modbus_desk import ModbusDesk
from glass_edge.adapters.modbus_state import StateFile
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.adapters.sink import RetryableError
from glass_edge.adapters.station_view import StationView, ViewFile, first_view, view_of_snapshot
from glass_edge.config.adapter_modbus import ModbusAdapterSettings
from glass_edge.errors import MissingExtraError
from glass_edge.events.client import Received
from glass_edge.events.curve_keys import ClientKeys
from glass_edge.events.errors import EventFormatError, NoAnswerError
from glass_edge.events.requester import ask
from glass_edge.events.sequencer import EpochChanged, Lost
from glass_edge.events.wire import SnapshotReply, SnapshotRequest

_LISTEN_S = 5.0
_SNAPSHOT_S = 2.0
_IDENTITY = ("glass_edge", "station adapter", __version__)


class ModbusSink:
    """Serves from its making to `close`.

    Args:
        settings: of the adapter.
        keys: CURVE keys, for a station over tcp.

    Raises:
        InputError: a file of the state folder is something else.
        MissingExtraError: the Modbus library is not installed.
    """

    most_events = 500

    def __init__(self, settings: ModbusAdapterSettings, keys: ClientKeys | None) -> None:
        try:
            from glass_edge.adapters.modbus_server import ModbusServer, listen_problem  # noqa: PLC0415 - an extra
        except ImportError:
            raise MissingExtraError("modbus", "the Modbus adapter") from None
        served, folder = settings.modbus, settings.state.folder
        self._settings = settings
        self._keys = keys
        self._listen_problem = listen_problem
        self._view_file = ViewFile(folder / "view.json")
        self._view = self._view_file.read()
        # an adapter that begins in the middle has not seen what came before
        self._lacks_past = self._view is None and (
            settings.source.start == "latest" or (folder / "offset.json").exists()
        )
        coding = Coding(served.word_order, served.text_order, served.text_encoding)
        wake = threading.Event()
        bank = RegisterBank(coding, wake.set)
        calls = StationCalls(settings.source.request_endpoint, keys, settings.adapter)
        log = RepeatedLog(settings.adapter)  # of the server's thread
        self._desk = ModbusDesk(
            bank,
            coding,
            calls.give,
            StateFile(folder / "modbus.json"),
            wake=wake,
            view=self._view,
            ack_timeout_s=served.ack_timeout_s,
            refuse_when_disabled=served.refuse_when_disabled,
        )
        self._server = ModbusServer(served, bank, log, _IDENTITY)
        self._is_heard = False
        self._problem: str | None = None
        self._stack = ExitStack()
        self._loop = self._stack.enter_context(LoopThread("modbus-server", lambda text: log.tell("loop", text)))
        self._desk.start()
        self._listen()

    def close(self) -> None:
        """End the server, then the calls under way."""
        try:
            with self._stack:
                self._loop.call(self._server.close(), _LISTEN_S)
        finally:
            self._desk.close()

    def handle(self, received: Received) -> None:
        """Show one event. Raises as `handle_many`."""
        self.handle_many([received])

    def handle_many(self, batch: Sequence[Received]) -> None:
        """Show what events changed, and keep it.

        Raises:
            RetryableError: the station's past is not known yet.
            InputError, OSError: the view cannot be kept.
        """
        self._need_past()
        before = self._view
        view = before
        for received in batch:
            view = first_view(received.event) if view is None else view.after(received.event)
        if view is not None and view is not before:
            self._take(view)

    def told(self, notice: Lost | EpochChanged) -> None:
        """Show nothing as the present until all has come; what was lost is made up for by the station's snapshot."""
        self._desk.doubt()
        if isinstance(notice, Lost):
            self._lacks_past = True
            self._need_past()

    def stands(self, *, is_heard: bool, is_behind: bool) -> None:
        """See `FollowingSink`."""
        self._is_heard = is_heard
        self._desk.stands(is_heard=is_heard, is_behind=is_behind or self._lacks_past)

    def idle(self, *, is_heard: bool) -> None:
        """Try again what did not work.

        Raises:
            RetryableError: what a person must see to.
        """
        del is_heard  # it is not told before the first silence
        if not self._server.is_listening:
            self._listen()
        if self._is_heard:
            self._need_past()
        problem = self._problem or self._desk.trouble()
        if problem is not None:
            raise RetryableError(problem)

    def _listen(self) -> None:
        try:
            self._loop.call(self._server.listen(), _LISTEN_S)
        except OSError as error:  # and TimeoutError
            self._problem = self._listen_problem(self._settings.modbus, error)
        else:
            self._problem = None

    def _need_past(self) -> None:
        if not self._lacks_past:
            return
        source = self._settings.source
        try:
            reply, _ = ask(
                source.request_endpoint, SnapshotRequest(request="snapshot"), timeout_s=_SNAPSHOT_S, keys=self._keys
            )
        except NoAnswerError as error:
            raise RetryableError(f"the station's state is not known yet: {error}") from error
        if not isinstance(reply, SnapshotReply):
            raise EventFormatError(f"{source.request_endpoint}: answered {reply.reply} to a snapshot request")
        self._take(view_of_snapshot(reply.station, reply.epoch, reply.snapshot, datetime.now(UTC)))
        self._lacks_past = False

    def _take(self, view: StationView) -> None:
        self._desk.offer(view)
        self._view_file.write(view)
        self._view = view


def plan(received: Received) -> str:
    """What `ModbusSink` would do with an event."""
    return f"would show event {received.event.seq} in the registers"
