"""The OPC UA server of asyncua with its doors locked.

Promises: sessions are those of `opcua_session`; channels without encryption tell the endpoints and nothing else; what a
client may make the server hold is bounded; no other server can be registered; binding the port can be tried again.

asyncua 2.1 opens a session over a channel without encryption even where none is offered, holds what was received
without a bound, and gives up where its port is taken. Hence the subclasses, and the bound in pyproject.toml.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncua import Server, ua
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.user_managers import UserManager

from glass_edge.adapters.opcua_session import GuardedSession, Judge, StationUser
from glass_edge.adapters.opcua_users import Users
from glass_edge.config.events import Role

_MOST_RECEIVED_BYTES = 1 << 20  # chunks have 64 KiB
_MOST_UNSENT_BYTES = 64 << 20
_MOST_MESSAGE_BYTES = 16 << 20
_CHUNK_BYTES = 65535
_ACTIVATION_S = 10.0
_MOST_QUEUED = 1000
_SUBSCRIPTIONS_A_CLIENT = 10

_NOBODY = User(role=UserRole.Anonymous)


class Doorman(UserManager):  # type: ignore[misc]
    """Lets users in.

    Args:
        users: who may come.
        allow_anonymous: let those in who do not say who they are, as observers.
        complain: told of who was refused.
    """

    def __init__(self, users: Users | None, allow_anonymous: bool, complain: Callable[[str], object]) -> None:
        self._users = users
        self._allow_anonymous = allow_anonymous
        self._complain = complain

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,  # noqa: ANN401 - as asyncua hands it over
    ) -> User | None:
        """The user with this name and password; None when there is none."""
        del iserver, certificate
        if username is None:
            return StationUser(UserRole.User, "") if self._allow_anonymous else None
        role = None if self._users is None else self._users.login(username, password or "")
        if role is None:
            self._complain(f"user {username[:64]!r} was refused: no such user, another password, or too many tries")
            return None
        return StationUser(UserRole.User, username, role)

    def role_now(self, user: StationUser) -> Role | None:
        """What a user who came in may do now; None when the user is gone."""
        if not user.name:
            return user.station_role
        return None if self._users is None else self._users.role_of(user.name)


class _InternalServer(InternalServer):  # type: ignore[misc]
    """Hands out guarded sessions, and registers no other servers."""

    def __init__(self, judge: Judge | None, user_manager: UserManager) -> None:
        self._judge = judge
        super().__init__(user_manager)

    def create_session(
        self,
        name: str,
        user: User = _NOBODY,
        external: bool = False,
    ) -> InternalSession:
        if not external:
            return super().create_session(name, user, external)
        session = GuardedSession(self, self.aspace, self.subscription_service, name, user=user, external=True)
        session.judge = self._judge
        return session

    def register_server(self, server: Any, conf: Any = None) -> None:  # noqa: ANN401
        del server, conf
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)


class _Protocol(OPCUAProtocol):  # type: ignore[misc]
    """A connection that may not make the server hold more than a bound."""

    def data_received(self, data: bytes) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        too_much = len(self._buffer) + len(data) > _MOST_RECEIVED_BYTES
        if too_much or transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            transport.abort()
            return
        super().data_received(data)


class _BinaryServer(BinaryServer):  # type: ignore[misc]
    def _make_protocol(self) -> OPCUAProtocol:
        return _Protocol(self.iserver, self._policies, self.clients, self.closing_tasks, self.limits)


class GuardedServer(Server):  # type: ignore[misc]
    """The server.

    Args:
        judge: of clients' certificates; None: no encryption.
        doorman: who lets users in.
        most_clients: most connections.
    """

    def __init__(self, judge: Judge | None, doorman: Doorman, most_clients: int) -> None:
        inner = _InternalServer(judge, doorman)
        super().__init__(iserver=inner)
        inner.max_connections = most_clients
        inner.max_subscriptions = _SUBSCRIPTIONS_A_CLIENT * most_clients
        inner.max_pending_activation_seconds = _ACTIVATION_S
        inner.max_monitored_item_queue_size = _MOST_QUEUED
        inner.max_unacked_messages_per_subscription = _MOST_QUEUED
        policies = [
            ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
            ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
        ]
        self.set_security_policy([ua.SecurityPolicyType.NoSecurity] if judge is None else policies)
        self.limits = TransportLimits(
            _CHUNK_BYTES, _CHUNK_BYTES, -(-_MOST_MESSAGE_BYTES // _CHUNK_BYTES), _MOST_MESSAGE_BYTES
        )
        self._is_prepared = False
        self._listening: _BinaryServer | None = None

    async def listen(self) -> None:
        """Bind the port and serve; to be called again after an error.

        Raises:
            OSError: the address cannot be bound.
        """
        if not self._is_prepared:
            await self._setup_server_nodes()
            await self.iserver.start()
            self._is_prepared = True
        server = _BinaryServer(self.iserver, self.endpoint.hostname or "", self.endpoint.port or 0, self.limits)
        server.set_policies(self._policies)
        await server.start()
        self.bserver = self._listening = server

    async def stop(self) -> None:
        """Say goodbye and let go of the port; no harm when it never listened."""
        for transport in self.iserver.asyncio_transports:
            if transport.get_write_buffer_size():  # who reads nothing is not waited for
                transport.abort()
        if self._listening is not None:
            await self._listening.stop()
            self._listening = None
        if self._is_prepared:
            await self.iserver.stop()
            self._is_prepared = False
