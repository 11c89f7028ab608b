"""The OPC UA server as the adapter uses it: plain calls from the adapter's thread, the library in a loop of its own.

Promises: a call comes back within its time-out; the library's own log lines become few, and never hold a password; an
own certificate that is about to expire, has expired or is not valid yet is told, and does not stop the server.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from asyncua import ua

from glass_edge import __version__
from glass_edge.adapters.loop_thread import LoopThread
from glass_edge.adapters.opcua_build import Nodes
from glass_edge.adapters.opcua_calls import Calls
from glass_edge.adapters.opcua_certificates import Identity, read_identity, time_complaint
from glass_edge.adapters.opcua_commands import Commander
from glass_edge.adapters.opcua_events import Occurrence
from glass_edge.adapters.opcua_fire import Fire
from glass_edge.adapters.opcua_guard import Doorman, GuardedServer
from glass_edge.adapters.opcua_results import Recipe, RollResult
from glass_edge.adapters.opcua_space import Space
from glass_edge.adapters.opcua_trust import CertificateRefusedError, TrustList
from glass_edge.adapters.opcua_users import Users
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.adapters.sink import RetryableError
from glass_edge.adapters.station_view import StationView
from glass_edge.config.adapter_opcua import OpcuaSettings

T = TypeVar("T")

_CALL_S = 20.0
_BUILD_S = 120.0
_LIBRARY = "asyncua"


@dataclass(frozen=True, slots=True)
class Step:
    """What one event changed.

    Attributes:
        view: the state after it; None: the station was never heard.
        occurrences: what subscribers are told of it, in order.
    """

    view: StationView | None
    occurrences: Sequence[Occurrence] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What the server is to show next.

    Attributes:
        steps: of the events, in order.
        is_current: the station lives, and no events of it are missing here.
        results: all results, the oldest first.
        recipes: all recipes, that in use last.
    """

    steps: Sequence[Step]
    is_current: bool
    results: Sequence[RollResult]
    recipes: Sequence[Recipe]


class OpcuaServer:
    """A server that does not listen yet.

    Args:
        settings: of the server.
        rejected: folder for certificates that are refused.
        commander: asks the station.
        log: where warnings go.

    Raises:
        InputError: certificate, key, users or a folder are wrong.
    """

    def __init__(self, settings: OpcuaSettings, rejected: Path, commander: Commander, log: RepeatedLog) -> None:
        self._settings = settings
        self._log = log
        self._identity: Identity | None = None
        self._trust: TrustList | None = None
        if settings.trusted is not None and settings.security != "none":
            self._identity = read_identity(settings)
            self._trust = TrustList(settings.trusted, rejected, self._tell)
        is_needed = settings.users.exists() or not settings.allow_anonymous
        self._doorman = Doorman(Users(settings.users) if is_needed else None, settings.allow_anonymous, self._tell)
        self._is_listening = False
        with ExitStack() as stack:
            stack.enter_context(_Quiet(log))
            self._loop = stack.enter_context(LoopThread("opcua", self._tell))
            self._loop.call(self._build(commander), _BUILD_S)
            stack.callback(self._calls.close)
            self._stack = stack.pop_all()

    def listen(self) -> None:
        """Serve, if it does not yet.

        Raises:
            RetryableError: the port cannot be bound.
        """
        self._tell_validity()
        if self._is_listening:
            return
        endpoint = self._settings.endpoint
        try:
            self._loop.call(self._server.listen(), _CALL_S)
        except OSError as error:
            raise RetryableError(
                f"{endpoint} cannot be listened on ({error.strerror}); end what uses the port, or give another address"
            ) from error
        self._is_listening = True

    def show(self, change: Change) -> None:
        """Show a change.

        Raises:
            RetryableError: the server is busy.
        """
        self._call(self._show(change))

    def close(self) -> None:
        """Say goodbye to clients and end; no harm when closed already."""
        try:
            self._loop.call(self._server.stop(), _CALL_S)
        except TimeoutError:
            self._tell("the server did not end in time; its connections are cut")
        finally:
            self._stack.close()

    async def _build(self, commander: Commander) -> None:
        settings = self._settings
        server = self._server = GuardedServer(
            None if self._trust is None else self._judge, self._doorman, settings.most_clients
        )
        await server.init()
        server.set_endpoint(settings.endpoint)
        server.set_server_name("glass_edge")
        server.product_uri = "urn:glass-edge"
        server.application_type = ua.ApplicationType.Server
        await server.set_application_uri(settings.application_uri)
        await server.set_build_info(
            server.product_uri, "glass_edge", "glass_edge OPC UA server", __version__, __version__, datetime.now(UTC)
        )
        tokens = [ua.UserNameIdentityToken]
        server.set_identity_tokens([ua.AnonymousIdentityToken, *tokens] if settings.allow_anonymous else tokens)
        if self._identity is not None:
            server.iserver.certificate = self._identity.certificate
            server.iserver.private_key = self._identity.key
        nodes = Nodes(server)
        await nodes.build()
        self._space, self._fire = Space(nodes), Fire(nodes)
        self._calls = Calls(nodes, self._space, commander, self._doorman, self._tell)
        self._calls.bind()

    async def _show(self, change: Change) -> None:
        await self._space.show_results(change.results)
        for path, recipe in await self._space.show_recipes(change.recipes):
            self._calls.bind_recipe(path, recipe)
        for step in change.steps:
            await self._space.show(step.view, is_current=change.is_current)
            for occurrence in step.occurrences:
                if occurrence.change is not None:
                    await self._space.show_transition(occurrence.change, occurrence.stamp_utc)
                await self._fire.tell(occurrence)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._loop.call(work, _CALL_S)
        except TimeoutError as error:
            raise RetryableError(f"the OPC UA server was busy for {_CALL_S:g} s") from error

    def _judge(self, certificate: bytes, application_uri: str | None) -> None:
        assert self._trust is not None
        try:
            self._trust.judge(certificate, application_uri, datetime.now(UTC))
        except CertificateRefusedError as error:
            self._tell(str(error))
            raise

    def _tell_validity(self) -> None:
        if self._identity is None:
            return
        complaint = time_complaint(self._identity.certificate, datetime.now(UTC), is_own=True)
        if complaint is not None:
            self._log.tell("own certificate", f"{self._settings.certificate}: {complaint}; make another one")

    def _tell(self, text: str) -> None:
        self._log.tell(text[:80], text)


class _Few(logging.Handler):
    """Hands warnings of the library to the adapter's log, without their tracebacks."""

    def __init__(self, log: RepeatedLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line on."""
        error = record.exc_info[1] if record.exc_info else None
        text = f"{record.getMessage()[:500]}{f': {error!r}'[:500] if error else ''}"
        self._log.tell(f"{record.name} {record.msg!s}"[:200], f"OPC UA library: {text}")


class _Quiet:
    """While it lasts, the library's warnings go to the adapter's log and nowhere else."""

    def __init__(self, log: RepeatedLog) -> None:
        self._handler = _Few(log)
        self._logger = logging.getLogger(_LIBRARY)

    def __enter__(self) -> None:
        self._before = self._logger.level, self._logger.propagate
        self._logger.setLevel(logging.WARNING)
        self._logger.propagate = False
        self._logger.addHandler(self._handler)

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self._handler)
        self._logger.level, self._logger.propagate = self._before
