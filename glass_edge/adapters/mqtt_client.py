"""The library's client, made to tell what it hears from the broker and keeps to itself.

Promises: the reasons of CONNACK, PUBACK and DISCONNECT are there to be asked for; a connection that is closed before it
stands ends the waiting for it. The names that begin with an underscore are aiomqtt's and hold for its versions 2.5 and
later ones before 3.
"""

from __future__ import annotations

import logging
import ssl
import threading
from dataclasses import dataclass
from typing import Any

from glass_edge.config.adapter_mqtt import BrokerPlace
from glass_edge.errors import MissingExtraError

try:
    import aiomqtt
    from paho.mqtt.client import Client as PahoClient
    from paho.mqtt.client import ConnectFlags, DisconnectFlags
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode
except ImportError:
    raise MissingExtraError("mqtt", "the mqtt adapter") from None

_MOST_QUEUED = 16  # requests, which all ask for the same
_MOST_INCOMING_BYTES = 16384  # a birth of another adapter
_log = logging.getLogger("glass_edge.mqtt")
_log.setLevel(logging.CRITICAL)  # what the library would say is raised by `Link`


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects, where and how.

    Attributes:
        place: the broker.
        client_id: of this client alone.
        user: None: nobody logs in.
        password: of the user.
        tls: None: without.
        keep_alive_s: longest silence, s.
        timeout_s: longest wait for an answer, s.
    """

    place: BrokerPlace
    client_id: str
    user: str | None
    password: str | None
    tls: ssl.SSLContext | None
    keep_alive_s: int
    timeout_s: float

    @property
    def broker(self) -> str:
        """The broker, for messages."""
        return f"{self.place.host}:{self.place.port}"


class Client(aiomqtt.Client):
    """A client of MQTT 5 without a session at the broker that outlives the connection.

    Args:
        login: who connects and where.
        will: published by the broker when the connection is lost.
    """

    ack: tuple[int, str] | None = None
    """Reason code and reason string of the last PUBACK."""
    connack: Any = None
    """Properties of CONNACK."""
    farewell: tuple[int, str] | None = None
    """Reason code and reason string of the broker's DISCONNECT; None when it sent none."""

    def __init__(self, login: Login, will: aiomqtt.Will) -> None:
        properties = new_properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 0
        properties.ReceiveMaximum = _MOST_QUEUED
        properties.MaximumPacketSize = _MOST_INCOMING_BYTES
        super().__init__(
            login.place.host,
            login.place.port,
            username=login.user,
            password=login.password,
            identifier=login.client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            will=will,
            clean_start=True,
            timeout=login.timeout_s,
            keepalive=login.keep_alive_s,
            properties=properties,
            tls_context=login.tls,
            max_queued_incoming_messages=_MOST_QUEUED,
            logger=_log,
        )
        self._thread_id = threading.get_ident()

    def drop(self, *, with_will: bool) -> None:
        """End the connection without waiting; `with_will`: the broker then tells the last will."""
        code = "Disconnect with will message" if with_will else "Normal disconnection"
        self._client.disconnect(reasoncode=ReasonCode(PacketTypes.DISCONNECT, code))

    def forget(self) -> None:
        """What ended the connection was told, or matters no more."""
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()

    def _on_socket_register_write(self, client: PahoClient, userdata: Any, sock: Any) -> None:  # noqa: ANN401
        # aiomqtt adds the writer in a later turn of the loop; paho may have closed the socket by then, and its number
        # may be another's
        if threading.get_ident() == self._thread_id:
            self._loop.add_writer(sock.fileno(), self._write)
        else:
            super()._on_socket_register_write(client, userdata, sock)

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except Exception as error:  # noqa: BLE001 - the connection is broken, and that is how aiomqtt is told
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

    def _on_connect(
        self,
        client: PahoClient,
        userdata: Any,  # noqa: ANN401 - the library's
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.connack = properties
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self,
        client: PahoClient,
        userdata: Any,  # noqa: ANN401 - the library's
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        self.ack = (reason_code.value, reason_string(properties))
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _on_disconnect(
        self,
        client: PahoClient,
        userdata: Any,  # noqa: ANN401 - the library's
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self.farewell = (reason_code.value, reason_string(properties))
        if not self._connected.done():  # it would wait for an answer that no longer comes
            self._connected.set_exception(aiomqtt.MqttCodeError(reason_code))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)


def new_properties(kind: int) -> Any:  # noqa: ANN401 - what it holds are attributes made by their names
    """Empty properties of a packet."""
    return Properties(kind)  # type: ignore[no-untyped-call]


def reason_string(properties: Properties | None) -> str:
    """What the broker says of a reason, empty when it says nothing."""
    return str(getattr(properties, "ReasonString", ""))
