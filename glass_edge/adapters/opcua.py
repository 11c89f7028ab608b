"""An OPC UA server that shows a station, as a vision system of OPC 40100-1.

Promises: when `handle` returns, the view, the open roll and the results are durable, and subscribers were told; a
restart shows the last known state at once, and what may not be the present is marked so; an event that comes again
changes nothing that is shown. Events reach who is connected; who was not finds the last rolls among the results.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from glass_edge.adapters.opcua_commands import Commander
from glass_edge.adapters.opcua_events import occurrences
from glass_edge.adapters.opcua_results import ResultStore, RollResult, result_of
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.adapters.roll_files import RollSummary
from glass_edge.adapters.roll_store import RollStore
from glass_edge.adapters.sink import RetryableError
from glass_edge.adapters.station_view import StationView, ViewFile, first_view, view_of_snapshot
from glass_edge.config.adapter_opcua import OpcuaAdapterSettings
from glass_edge.errors import GlassEdgeError, MissingExtraError
from glass_edge.events.client import Received
from glass_edge.events.curve_keys import ClientKeys
from glass_edge.events.errors import EventFormatError, NoAnswerError
from glass_edge.events.payloads import EngineActivated
from glass_edge.events.requester import ask
from glass_edge.events.schema import Event, Kind
from glass_edge.events.sequencer import EpochChanged, Lost
from glass_edge.events.wire import SnapshotReply, SnapshotRequest

if TYPE_CHECKING:
    from glass_edge.adapters.opcua_server import Step

_MOST_EVENTS = 64
_LATE_S = 2.0
_SNAPSHOT_S = 2.0


class OpcuaSink:
    """Shows events in an OPC UA server.

    Args:
        settings: of the adapter.
        keys: CURVE keys of the station; None without.
        clock: monotonic seconds.

    Raises:
        InputError: certificate, key, users or something in the state folder are wrong.
        MissingExtraError: the OPC UA library is not installed.
    """

    most_events = _MOST_EVENTS

    def __init__(
        self, settings: OpcuaAdapterSettings, keys: ClientKeys | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        try:
            from glass_edge.adapters import opcua_server  # noqa: PLC0415 - an extra
        except ImportError:
            raise MissingExtraError("opcua", "the OPC UA adapter") from None
        self._change, self._step = opcua_server.Change, opcua_server.Step
        folder = settings.state.folder
        self._most_defects = settings.opcua.most_defects
        self._log = RepeatedLog(settings.adapter)
        self._view_file = ViewFile(folder / "view.json")
        self._view = self._view_file.read()
        self._results = ResultStore(folder / "results", settings.opcua.most_results)
        self._rolls_path = folder / "rolls.sqlite"
        self._clock = clock
        self._is_current, self._current_s = False, -math.inf
        self._made: list[RollResult] = []  # that subscribers were not told of yet
        self._source, self._keys = settings.source, keys
        self._lacks_past = self._view is None and settings.source.start == "latest"
        with ExitStack() as stack:
            self._rolls = RollStore(self._rolls_path)
            stack.callback(self._rolls.close)
            commander = Commander(settings.source, keys, settings.opcua.command_timeout_s)
            self._server = opcua_server.OpcuaServer(settings.opcua, folder / "rejected", commander, self._log)
            stack.callback(self._server.close)
            self._show([self._step(self._view)])
            self._try_to_listen()
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End the server and close the stores."""
        self._stack.close()

    def idle(self, *, is_heard: bool) -> None:
        """Listen, if the port was taken before, and learn of the past, if it could not be learned before.

        Raises:
            RetryableError: the port is taken, or the station does not tell.
        """
        if is_heard:
            self._need_past()
        self._server.listen()

    def stands(self, *, is_heard: bool, is_behind: bool) -> None:
        """Show whether what is shown is the present; a moment behind is none."""
        is_current, now_s = is_heard and not is_behind and not self._lacks_past, self._clock()
        if is_current:
            self._current_s = now_s
        elif is_heard and now_s - self._current_s <= _LATE_S:
            return
        if is_current == self._is_current:
            return
        before, self._is_current = self._is_current, is_current
        try:
            self._show([self._step(self._view)])
        except RetryableError as error:
            self._is_current = before
            self._log.tell("stands", str(error))

    def handle(self, received: Received) -> None:
        """Show one event. Raises as `handle_many`."""
        self.handle_many([received])

    def handle_many(self, batch: Sequence[Received]) -> None:
        """Show events that follow each other.

        Raises:
            RetryableError: a store cannot be written now.
            GlassEdgeError: a store is damaged.
        """
        self._need_past()
        steps: list[Step] = []
        view, done = self._view, 0
        for received in batch:
            event = received.event
            self._keep(received)
            told = tuple(occurrences(_before(view, event), event, self._made[done:]))
            view, done = first_view(event) if view is None else view.after(event), len(self._made)
            steps.append(self._step(view, told))
        if view is not None and view is not self._view:
            self._view_file.write(view)
        self._view = view
        self._show(steps)
        self._made.clear()
        self._try_to_listen()

    def told(self, notice: Lost | EpochChanged) -> None:
        """Remember what never comes, for the result of the roll; the station's snapshot makes up for it in the view.
        Raises as `handle_many`."""
        if isinstance(notice, Lost):
            with self._store_trouble():
                self._rolls.lose(notice.epoch, notice.first_seq, notice.last_seq)
            self._lacks_past = True
            self._need_past()

    def _need_past(self) -> None:
        """Take the state that events which never come would have told, from the station's snapshot."""
        if not self._lacks_past:
            return
        endpoint = self._source.request_endpoint
        try:
            reply, _ = ask(endpoint, SnapshotRequest(request="snapshot"), timeout_s=_SNAPSHOT_S, keys=self._keys)
        except NoAnswerError as error:
            raise RetryableError(f"the station's state is not known yet: {error}") from error
        if not isinstance(reply, SnapshotReply):
            raise EventFormatError(f"{endpoint}: answered {reply.reply} to a snapshot request")
        view = view_of_snapshot(reply.station, reply.epoch, reply.snapshot, datetime.now(UTC))
        self._view_file.write(view)
        if view.engine is not None:
            self._results.activated(view.engine, view.stamp_utc)
        self._view, self._lacks_past = view, False
        self._show([self._step(view)])

    def _keep(self, received: Received) -> None:
        """Hold an event, and make the results of rolls that it ended."""
        event = received.event
        if isinstance(event.payload, EngineActivated):
            self._results.activated(event.payload, event.stamp_utc)
        with self._store_trouble():
            if not self._rolls.is_taken(event):
                self._rolls.end_before(event)
                self._finish()
                self._rolls.take(received)
            self._finish()

    def _finish(self) -> None:
        while (roll := self._rolls.ended()) is not None:
            recipe = self._results.recipes[-1] if self._results.recipes else None
            summary = RollSummary(self._rolls.documents(roll))
            result = result_of(summary, self._rolls.lost(roll), recipe, self._most_defects)
            self._results.keep(result)
            self._made.append(result)
            self._rolls.written(roll)

    def _show(self, steps: Sequence[Step]) -> None:
        self._server.show(self._change(steps, self._is_current, self._results.results, self._results.recipes))

    def _try_to_listen(self) -> None:
        try:
            self._server.listen()
        except RetryableError as error:
            self._log.tell("listen", str(error))  # `idle` makes it the adapter's state; no event waits for it

    @contextmanager
    def _store_trouble(self) -> Iterator[None]:
        """A store that is full or locked is worth another try, a damaged one is not; others are faults of ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise RetryableError(f"{self._rolls_path}: cannot be written ({error}); make room or mend it") from error
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise
            raise GlassEdgeError(
                f"{self._rolls_path}: is damaged ({error}); remove the adapter's state folder to begin anew"
            ) from error


def _before(view: StationView | None, event: Event) -> StationView | None:
    """The view, where it is that before the event: one of a snapshot may be newer."""
    is_newer = view is not None and view.epoch == event.epoch and view.seq >= event.seq
    return None if is_newer else view


def plan(received: Received) -> str:
    """What `OpcuaSink` would do with an event."""
    event: Event = received.event
    names = ", ".join(occurrence.event_type for occurrence in occurrences(None, event, []))
    result = "; a result" if event.kind == Kind.ROLL_END else ""
    return f"would show it{f', and tell {names}' if names else ''}{result}"
