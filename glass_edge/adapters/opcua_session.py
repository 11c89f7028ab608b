"""Sessions of the OPC UA server.

Promises: no session is used without a user who may use it and, where encryption is on, a trusted certificate: that of
the secure channel itself; a session reaches its own subscriptions only, and those of its user where it takes them over;
a method knows who calls it.

asyncua 2.1 judges the certificate that a client puts into CreateSession, if it puts one there, and lets each client
change the subscriptions of all by their numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User
from asyncua.server.internal_session import InternalSession

from glass_edge.adapters.opcua_trust import CertificateRefusedError, Fault
from glass_edge.config.events import Role

_CODES = {
    Fault.UNTRUSTED: ua.StatusCodes.BadCertificateUntrusted,
    Fault.TIME: ua.StatusCodes.BadCertificateTimeInvalid,
    Fault.URI: ua.StatusCodes.BadCertificateUriInvalid,
    Fault.INVALID: ua.StatusCodes.BadCertificateInvalid,
}
_LEAST_PUBLISHING_MS = 50.0

Judge = Callable[[bytes, str | None], None]
"""Judges a client's certificate and what it calls itself; raises CertificateRefusedError."""


@dataclass
class StationUser(User):  # type: ignore[misc] # the library is not followed
    """A user of a session."""

    station_role: Role = Role.OBSERVER


_caller: ContextVar[StationUser | None] = ContextVar("caller", default=None)


def caller() -> StationUser | None:
    """Who called the method that runs; None outside of one."""
    return _caller.get()


class GuardedSession(InternalSession):  # type: ignore[misc]
    """A session of a client."""

    judge: Judge | None = None
    """None where encryption is off."""
    _certificate: bytes | None = None

    async def create_session(
        self, params: ua.CreateSessionParameters, sockname: tuple[str, int] | None = None
    ) -> ua.CreateSessionResult:
        """Begin a session of a client whose certificate is trusted."""
        if self.judge is not None:
            self._certificate = params.ClientCertificate or b""
            await asyncio.to_thread(self._judge, self._certificate, params.ClientDescription.ApplicationUri or "")
        return await super().create_session(params, sockname)

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        """Let the user in, where the channel is that of the certificate which was judged."""
        if self.judge is not None:
            if not peer_certificate or peer_certificate != self._certificate:
                raise ServiceError(ua.StatusCodes.BadSecurityChecksFailed)
            self._judge(peer_certificate, None)
        return super().activate_session(params, peer_certificate)

    async def create_subscription(
        self,
        params: ua.CreateSubscriptionParameters,
        callback: Any,  # noqa: ANN401
        request_callback: Any = None,  # noqa: ANN401
    ) -> ua.CreateSubscriptionResult:
        """Make a subscription that is not told more often than the server bears."""
        params.RequestedPublishingInterval = max(_LEAST_PUBLISHING_MS, params.RequestedPublishingInterval)
        result = await super().create_subscription(params, callback, request_callback)
        self.subscription_service.subscriptions[result.SubscriptionId].owner = self.user.name
        return result

    def modify_subscription(self, params: ua.ModifySubscriptionParameters) -> ua.ModifySubscriptionResult:
        """Change an own subscription."""
        self._need_own(params.SubscriptionId)
        return super().modify_subscription(params)

    async def create_monitored_items(self, params: ua.CreateMonitoredItemsParameters) -> Any:  # noqa: ANN401
        """Add items to an own subscription."""
        self._need_own(params.SubscriptionId)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(self, params: ua.ModifyMonitoredItemsParameters) -> Any:  # noqa: ANN401
        """Change items of an own subscription."""
        self._need_own(params.SubscriptionId)
        return await super().modify_monitored_items(params)

    async def set_monitoring_mode(self, params: ua.SetMonitoringModeParameters) -> Any:  # noqa: ANN401
        """Switch items of an own subscription."""
        self._need_own(params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    async def delete_monitored_items(self, params: ua.DeleteMonitoredItemsParameters) -> Any:  # noqa: ANN401
        """Remove items of an own subscription."""
        self._need_own(params.SubscriptionId)
        return await super().delete_monitored_items(params)

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        """Tell an own notification again."""
        self._need_own(params.SubscriptionId)
        return super().republish(params)

    async def set_publishing_mode(self, params: ua.SetPublishingModeParameters) -> list[ua.StatusCode]:
        """Switch own subscriptions."""
        codes: list[ua.StatusCode] = []
        for number in params.SubscriptionIds:
            one = ua.SetPublishingModeParameters()
            one.PublishingEnabled, one.SubscriptionIds = params.PublishingEnabled, [number]
            codes += await super().set_publishing_mode(one) if self._owns(number) else [_foreign()]
        return codes

    async def delete_subscriptions(self, ids: Iterable[int]) -> list[ua.StatusCode]:
        """End own subscriptions."""
        codes: list[ua.StatusCode] = []
        for number in ids:
            codes += await super().delete_subscriptions([number]) if self._owns(number) else [_foreign()]
        return codes

    def publish(self, acks: Iterable[ua.SubscriptionAcknowledgement] | None = None) -> tuple[int, list[ua.StatusCode]]:
        """Take acknowledgements of own notifications."""
        given = list(acks or [])
        count, codes = super().publish([ack for ack in given if self._owns(ack.SubscriptionId)])
        done = iter(codes)
        return count, [next(done) if self._owns(ack.SubscriptionId) else _foreign() for ack in given]

    async def transfer_subscriptions(
        self, params: ua.TransferSubscriptionsParameters, callback: Callable[..., Any]
    ) -> list[ua.TransferResult]:
        """Take over subscriptions of the same user."""
        results: list[ua.TransferResult] = []
        for number in params.SubscriptionIds:
            subscription = self.subscription_service.subscriptions.get(int(number))
            if subscription is not None and subscription.owner == self.user.name:
                one = ua.TransferSubscriptionsParameters()
                one.SubscriptionIds, one.SendInitialValues = [number], params.SendInitialValues
                results += await super().transfer_subscriptions(one, callback)
            else:
                results.append(ua.TransferResult(_foreign()))
        return results

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Call methods, which know the user."""
        token = _caller.set(self.user if isinstance(self.user, StationUser) else None)
        try:
            results: list[ua.CallMethodResult] = await super().call(params)
            return results
        finally:
            _caller.reset(token)

    def _judge(self, certificate: bytes, application_uri: str | None) -> None:
        assert self.judge is not None
        try:
            self.judge(certificate, application_uri)
        except CertificateRefusedError as error:
            raise ServiceError(_CODES[error.fault]) from error

    def _owns(self, number: int) -> bool:
        subscription = self.subscription_service.subscriptions.get(number)
        return subscription is not None and subscription.session_id == self.session_id

    def _need_own(self, number: int) -> None:
        if not self._owns(number):
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)


def _foreign() -> ua.StatusCode:
    return ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid)
