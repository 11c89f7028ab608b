"""One connection to an MQTT 5 broker.

Promises: `publish` returns after the broker's PUBACK said that it has the message; one message is under way at a time,
so messages arrive in the order they were published and no limit of the broker on their number is passed; they are
numbered without a gap; a message larger than the broker takes is not sent; a connection that is not left in good order
brings the last will. Nothing waits longer than the time-out.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from glass_edge.adapters.mqtt_client import Client, Login, new_properties, reason_string
from glass_edge.adapters.mqtt_messages import Message
from glass_edge.adapters.mqtt_reasons import (
    LinkLostError,
    closed,
    connect_problem,
    is_never_taken,
    judge_ack,
    lost,
    refused_in,
)
from glass_edge.adapters.sink import PermanentError, RetryableError

T = TypeVar("T")

_GRACE_S = 1.0


class Link:
    """A connection to a broker; an asynchronous context manager, used once.

    Args:
        login: who connects and where.
        session: number of the session, told with each message.
        will: published by the broker when the connection is lost.
        hear: called with topic and payload of a message on a topic listened to.
        wake: called when the connection ended.
    """

    def __init__(
        self,
        login: Login,
        session: int,
        will: Message,
        *,
        hear: Callable[[str, bytes], object],
        wake: Callable[[], object],
    ) -> None:
        self._login = login
        self._session = session
        self._hear = hear
        self._wake = wake
        self._number = 0
        self._lock = asyncio.Lock()
        self._lost: asyncio.Future[LinkLostError] = asyncio.get_running_loop().create_future()
        self._listener: asyncio.Task[None] | None = None
        self._is_left = False
        properties = self._properties(will, PacketTypes.WILLMESSAGE)
        self._client = Client(login, aiomqtt.Will(will.topic, will.payload, 1, will.is_retained, properties))

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            RetryableError: the broker is away, or does not let this client in.
        """
        broker = self._login.broker
        try:
            await self._client.__aenter__()
        except aiomqtt.MqttError as error:
            self._client.drop(with_will=False)
            if isinstance(error, MqttConnectError) and isinstance(error.rc, ReasonCode):
                raise RetryableError(refused_in(broker, error.rc.value, reason_string(self._client.connack))) from error
            if isinstance(error, aiomqtt.MqttCodeError) or isinstance(error.__context__, ConnectionResetError):
                raise RetryableError(_closed_at_once(self._login)) from error
            raise RetryableError(connect_problem(broker, error.__context__ or error)) from error
        except asyncio.CancelledError:
            self._client.drop(with_will=False)
            raise
        self._listener = asyncio.create_task(self._listen(), name="mqtt listener")
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._lost.done():
            self._client.drop(with_will=not self._is_left)
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait({self._listener})
        with contextlib.suppress(aiomqtt.MqttError):  # it is given up either way
            await self._client.__aexit__(None, None, None)
        self._client.forget()

    @property
    def lost(self) -> LinkLostError | None:
        """Why the connection ended; None while it stands."""
        return self._lost.result() if self._lost.done() else None

    def leave(self) -> None:
        """From now on the end of the connection is meant, and brings no will."""
        self._is_left = True

    async def publish(self, message: Message) -> None:
        """Publish; the broker has it when this returns.

        Raises:
            RetryableError: it did not take it, or the connection is lost; then nobody knows whether it has it.
            PermanentError: it never takes this message.
        """
        async with self._lock:
            if self._lost.done():
                raise self._lost.result()
            properties = self._properties(message, PacketTypes.PUBLISH, ("number", str(self._number)))
            self._require_size(message, len(properties.pack()))
            self._client.ack = None
            await self._answer(
                self._client.publish(
                    message.topic, message.payload, 1, message.is_retained, properties, timeout=math.inf
                )
            )
            self._settle(message)
            self._number += 1

    async def listen_to(self, topic: str, *, is_kept_wanted: bool) -> str | None:
        """Subscribe to what others publish; `is_kept_wanted`: also to what the broker keeps.

        Returns:
            None, or why the broker does not allow it.

        Raises:
            RetryableError: the connection is lost.
        """
        handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if is_kept_wanted else SubscribeOptions.RETAIN_DO_NOT_SEND
        options = SubscribeOptions(qos=0, noLocal=True, retainHandling=handling)
        codes = await self._answer(self._client.subscribe(topic, options=options, timeout=math.inf))
        if codes is None:
            raise self._lose(f"did not answer the subscription of {topic}")
        code = next((code for code in codes if isinstance(code, ReasonCode)), None)
        return str(code) if code is not None and code.is_failure else None

    async def _answer(self, asking: Coroutine[Any, Any, T]) -> T | None:
        """The answer to what is sent without a time-out of its own; None when none came in time, or ever will."""
        task = asyncio.create_task(asking)
        waits: set[asyncio.Future[Any]] = {task, self._lost}
        try:
            await asyncio.wait(waits, timeout=self._login.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                return None
            return task.result()
        except aiomqtt.MqttError:
            await asyncio.wait({self._lost}, timeout=_GRACE_S)  # the listener is about to hear why
            return None
        finally:
            task.cancel()

    def _settle(self, message: Message) -> None:
        """What became of a message."""
        if self._client.ack is not None:  # also when the connection ended right after it
            judge_ack(self._login.broker, message.topic, *self._client.ack)
            return
        problem = self._lose(f"did not acknowledge a message of {message.topic}")
        if is_never_taken(problem.code):
            raise PermanentError(f"{message.topic}: {problem}")
        raise problem

    async def _listen(self) -> None:
        """Hear messages, and the end of the connection."""
        problem = lost(self._login.broker, "")
        try:
            async for message in self._client.messages:
                self._hear(message.topic.value, message.payload)
        except aiomqtt.MqttError as error:
            farewell = self._client.farewell
            said = str(error.__cause__ or "")
            problem = lost(self._login.broker, said) if farewell is None else closed(self._login.broker, *farewell)
        finally:
            self._end(problem)

    def _end(self, problem: LinkLostError) -> None:
        if not self._lost.done():
            self._lost.set_result(problem)
            self._wake()

    def _lose(self, what: str) -> LinkLostError:
        """Give the connection up, unless it is lost already; returns why it ended."""
        if not self._lost.done():
            self._client.drop(with_will=True)
            self._end(LinkLostError(f"{self._login.broker} {what} within {self._login.timeout_s:g} s; mend it"))
        return self._lost.result()

    def _properties(self, message: Message, kind: int, *pairs: tuple[str, str]) -> Any:  # noqa: ANN401 - as above
        properties = new_properties(kind)
        properties.PayloadFormatIndicator = 1  # UTF-8
        properties.ContentType = "application/json"
        if message.expiry_s is not None:
            properties.MessageExpiryInterval = message.expiry_s
        properties.UserProperty = [("session", str(self._session)), *pairs, *message.properties]
        return properties

    def _require_size(self, message: Message, properties_bytes: int) -> None:
        most = getattr(self._client.connack, "MaximumPacketSize", None)
        # fixed header of 5 bytes at most, topic with its length, packet identifier
        size = 5 + 2 + len(message.topic.encode()) + 2 + properties_bytes + len(message.payload)
        if most is not None and size > most:
            raise PermanentError(
                f"{message.topic}: {size} bytes, and {self._login.broker} takes {most} at most; raise its limit for the"
                " next"
            )


def _closed_at_once(login: Login) -> str:
    if login.tls is None:
        hint = "on this port, and does it ask for TLS (mqtts://)"
    else:
        hint = "over TLS on this port, and does it ask for a client certificate"
    return f"{login.broker} closed the connection without a word; does it speak MQTT 5 {hint}?"
