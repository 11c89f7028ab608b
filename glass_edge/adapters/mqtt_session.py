"""The life of the MQTT adapter at its broker: connected, told of, connected again.

Promises: each connection is a session with a number of its own; it begins with birth and state and ends with a death
of its number, told by the adapter or as its last will; events go out in order, and one that was acknowledged is not
sent again by this process; the last state is always told, older ones may be left out; a broker that is away is tried
again with growing pauses; another adapter that took this one's place is not fought.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from glass_edge.adapters.backoff import Backoff
from glass_edge.adapters.mqtt_client import Login
from glass_edge.adapters.mqtt_documents import DeathReason, SessionFile
from glass_edge.adapters.mqtt_link import Link
from glass_edge.adapters.mqtt_messages import Messages, Standing
from glass_edge.adapters.mqtt_reasons import SESSION_TAKEN_OVER, LinkLostError
from glass_edge.adapters.mqtt_rivals import Rivals, of_rival
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.adapters.sink import PermanentError, RetryableError
from glass_edge.adapters.station_view import StationView
from glass_edge.config.adapter_mqtt import MqttAdapterSettings
from glass_edge.errors import InputError
from glass_edge.events.client import Received

_STEADY_S = 30.0
_TAKEN_OVER_S = 600.0
_KEPT_BIRTH_S = 1.0


class MqttSession:
    """Keeps an adapter connected; what does not say otherwise is for the thread of the event loop.

    Args:
        settings: of the adapter.
        login: reads passwords and certificates, anew for each connection.
        sessions: their numbers.
        view: the station as it is known, None before its first event.
        log: where trouble is told.
    """

    def __init__(
        self,
        settings: MqttAdapterSettings,
        login: Callable[[], Login],
        sessions: SessionFile,
        view: StationView | None,
        log: RepeatedLog,
    ) -> None:
        self._settings = settings.mqtt
        self._retry = settings.retry
        self._messages = Messages(settings)
        self._topics = self._messages.topics
        self._login = login
        self._sessions = sessions
        self._view = view
        self._log = log
        self._chance = random.Random()
        self._rivals = Rivals()
        self._standing = Standing(is_heard=False, is_behind=True)
        self._is_changed = False
        self._is_asked = False
        self._is_ending = False
        self._is_barred = False
        self._is_lost_wordlessly = False
        self._link: Link | None = None
        self._done: tuple[str, int] | None = None
        self._attempts = 0
        self._problem = "not connected yet"
        self._wake = asyncio.Event()
        self._news = asyncio.Condition()

    async def run(self) -> None:
        """Connect and stay connected until `end`."""
        backoff = Backoff(self._retry, self._chance)
        while not self._is_ending:
            begun_s = time.monotonic()
            self._is_barred = False
            try:
                await self._live()
            except LinkLostError as error:
                self._is_lost_wordlessly = error.code is None
                self._is_barred = error.code == SESSION_TAKEN_OVER
                await self._fail(str(error))
            except (RetryableError, PermanentError, InputError) as error:
                await self._fail(str(error))
            except OSError as error:  # the number of the session cannot be written
                await self._fail(f"{error.filename or 'a file'}: {error.strerror}; make room or mend it")
            if time.monotonic() - begun_s > _STEADY_S:
                backoff = Backoff(self._retry, self._chance)
            await self._rest(_TAKEN_OVER_S if self._is_barred else backoff.pause_s())

    async def end(self) -> None:
        """Tell the death of the session, and leave; `run` ends."""
        self._is_ending = True
        self._wake.set()

    async def deliver(self, batch: Sequence[Received], view: StationView) -> None:
        """Publish events that follow each other, then show the state after them.

        Raises:
            RetryableError: not all were taken; those that were are passed over when they come again.
            PermanentError: the first that was not taken never will be.
        """
        link = await self._linked()
        for received in batch:
            event = received.event
            if self._done is not None and event.epoch == self._done[0] and event.seq <= self._done[1]:
                continue
            await link.publish(self._messages.event(received))
            self._done = (event.epoch, event.seq)
        self._show(view, replace(self._standing, is_heard=True))

    async def stands(self, standing: Standing) -> None:
        """Show how the adapter stands to its station."""
        self._show(self._view, standing)

    def problem(self) -> str | None:
        """Why the adapter is not connected; None while it is, and before its first try ended. For any thread."""
        return self._problem if self._link is None and self._attempts else None

    def _show(self, view: StationView | None, standing: Standing) -> None:
        if view is not self._view or standing != self._standing:
            self._view, self._standing, self._is_changed = view, standing, True
            self._wake.set()

    async def _live(self) -> None:
        """One session, from birth to death.

        Raises:
            RetryableError: it did not begin, or the connection is lost.
            PermanentError: the broker never takes birth or state.
            InputError, OSError: a file of the adapter is wrong or cannot be written.
        """
        login, session = self._login(), self._sessions.next()
        will = self._messages.death(session, DeathReason.CONNECTION_LOST)
        self._rivals.begin(session)
        async with Link(login, session, will, hear=self._hear, wake=self._wake.set) as link:
            await self._listen(link, login.broker, self._topics.birth, is_kept_wanted=True)
            if self._is_lost_wordlessly:
                await self._yield_to_successor(link)
            await self._tell_birth(link, session)
            await self._tell_state(link, session)
            await self._listen(link, login.broker, self._topics.rebirth, is_kept_wanted=False)
            self._link = link
            async with self._news:
                self._news.notify_all()
            try:
                await self._serve(link, session)
            finally:
                self._link = None

    async def _serve(self, link: Link, session: int) -> None:
        """Tell changes of the state and answer requests until the connection is lost or the end is asked for."""
        next_birth_s, next_state_s = 0.0, time.monotonic() + self._settings.state_s
        while not self._is_ending:
            self._wake.clear()
            if link.lost is not None:
                raise link.lost
            now_s = time.monotonic()
            if self._is_asked and now_s >= next_birth_s:
                self._is_asked, self._is_changed, next_state_s = False, True, now_s
                next_birth_s = now_s + self._settings.rebirth_s
                await self._tell_birth(link, session)
            if self._is_changed and now_s >= next_state_s:
                next_state_s = now_s + self._settings.state_s
                await self._tell_state(link, session)
            due_s = [next_birth_s] if self._is_asked else []
            due_s += [next_state_s] if self._is_changed else []
            await self._sleep(min(due_s) - time.monotonic() if due_s else None)
        await link.publish(self._messages.death(session, DeathReason.ENDED))
        link.leave()

    async def _tell_birth(self, link: Link, session: int) -> None:
        birth, message = self._messages.birth(session, self._view)
        self._rivals.born(birth)
        await link.publish(message)

    async def _tell_state(self, link: Link, session: int) -> None:
        self._is_changed = False
        await link.publish(self._messages.state(session, self._view, self._standing))

    async def _listen(self, link: Link, broker: str, topic: str, *, is_kept_wanted: bool) -> None:
        refusal = await link.listen_to(topic, is_kept_wanted=is_kept_wanted)
        if refusal is not None:
            self._log.tell(f"listen {topic}", f"{broker} does not let this client read {topic} ({refusal}); allow it")

    def _hear(self, topic: str, payload: bytes) -> None:
        """A message of somebody else came."""
        if topic == self._topics.rebirth:
            self._is_asked = True
        elif topic == self._topics.birth:
            rival = self._rivals.hear(payload)
            if rival is not None and self._link is not None:
                self._log.tell("rival", f"{of_rival(rival)} too; end one of the two")
        self._wake.set()

    async def _yield_to_successor(self, link: Link) -> None:
        """Leave again when an adapter that began later has this one's place.

        Not every broker says that it let another client in under the same id; the birth that it keeps does.

        Raises:
            LinkLostError: there is one.
        """
        until_s = time.monotonic() + _KEPT_BIRTH_S
        while not self._rivals.is_birth_heard and (left_s := until_s - time.monotonic()) > 0:
            self._wake.clear()
            await self._sleep(left_s)
        successor = self._rivals.successor()
        if successor is not None:
            link.leave()
            raise LinkLostError(
                f"{of_rival(successor)} and took this one's place: two adapters share a client id; give each its own"
                " client_id and end the one that is too many",
                SESSION_TAKEN_OVER,
            )

    async def _linked(self) -> Link:
        """The connection, waited for while a first or a further attempt is made."""
        if self._link is None and not self._is_barred:
            attempts = self._attempts
            self._wake.set()  # the pauses between deliveries are pauses enough
            try:
                async with asyncio.timeout(2 * self._settings.timeout_s), self._news:
                    await self._news.wait_for(lambda: self._link is not None or self._attempts > attempts)
            except TimeoutError:
                raise RetryableError(self._problem) from None
        if self._link is None:
            raise RetryableError(self._problem)
        return self._link

    async def _fail(self, problem: str) -> None:
        self._problem = problem
        self._log.tell(f"link {problem}", f"{problem} (tried again)")
        async with self._news:
            self._attempts += 1
            self._news.notify_all()

    async def _rest(self, pause_s: float) -> None:
        """A pause between two connections, ended by a delivery that waits, unless another client has the id."""
        until_s = time.monotonic() + pause_s
        self._wake.clear()
        while not self._is_ending and (left_s := until_s - time.monotonic()) > 0:
            await self._sleep(left_s)
            if self._wake.is_set() and not self._is_barred:
                return
            self._wake.clear()

    async def _sleep(self, seconds: float | None) -> None:
        """Wait until something wakes, `seconds` at most."""
        try:
            async with asyncio.timeout(None if seconds is None else max(0.0, seconds)):
                await self._wake.wait()
        except TimeoutError:
            pass
