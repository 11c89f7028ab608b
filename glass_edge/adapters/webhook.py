"""Events posted to an HTTPS server, one request an event.

Promises: the next event is sent only after the server took this one or refused it for good; every try of an event bears
the same idempotency key (`epoch:seq`) and a fresh signature; the server's certificate is checked; redirections are not
followed and no proxy is taken from the environment; an answer is read no further than its beginning.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any

from glass_edge.adapters.http_reply import judge
from glass_edge.adapters.signature import read_secret, sign
from glass_edge.adapters.sink import RetryableError
from glass_edge.config.adapter_webhook import WebhookSettings
from glass_edge.errors import InputError, MissingExtraError
from glass_edge.events.client import Received
from glass_edge.events.sequencer import EpochChanged, Lost

_MOST_ANSWER_BYTES = 4096


class WebhookSink:
    """Posts event documents.

    Args:
        settings: server, secret and time-outs.
        user_agent: what the adapter calls itself.
        unix_s: wall clock of the signature, s since 1970.

    Raises:
        InputError: secret or CA file are wrong.
        MissingExtraError: the HTTP library is not installed.
    """

    def __init__(self, settings: WebhookSettings, user_agent: str, unix_s: Callable[[], float] = time.time) -> None:
        try:
            import httpx2  # noqa: PLC0415 - an extra
        except ImportError:
            raise MissingExtraError("webhook", "the webhook adapter") from None
        self._url = settings.url
        self._secret = read_secret(settings)
        self._unix_s = unix_s
        self._timeout_s = settings.timeout_s
        self._failure = httpx2.RequestError
        self._client = httpx2.Client(
            verify=_tls(settings),
            timeout=httpx2.Timeout(settings.timeout_s, connect=settings.connect_timeout_s),
            headers={"User-Agent": user_agent, "Content-Type": "application/json", "Accept-Encoding": "identity"},
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def handle(self, received: Received) -> None:
        """Post one event.

        Raises:
            RetryableError: the server is away or asks for another try.
            PermanentError: the server refuses this event.
        """
        event = received.event
        body = received.document.encode()
        key = f"{event.epoch}:{event.seq}"
        unix_s = int(self._unix_s())
        headers = {
            "Idempotency-Key": key,
            "webhook-id": key,
            "webhook-timestamp": str(unix_s),
            "webhook-signature": sign(self._secret, key, unix_s, body),
        }
        try:
            with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                code, retry_after, text = (
                    response.status_code,
                    response.headers.get("Retry-After"),
                    _beginning(response, self._timeout_s),
                )
        except self._failure as error:
            problem = str(error) or type(error).__name__
            raise RetryableError(
                f"{self._url} cannot be reached ({problem}); start it, or correct the URL or ca_file"
            ) from error
        judge(self._url, code, retry_after, text)

    def told(self, notice: Lost | EpochChanged) -> None:
        """Nothing to send: the numbers of the events tell it to the server."""


def _beginning(response: Any, most_s: float) -> str:  # noqa: ANN401 - a response of the extra's library
    data, until_s = b"", time.monotonic() + most_s
    for chunk in response.iter_raw():
        data += chunk
        if len(data) >= _MOST_ANSWER_BYTES or time.monotonic() > until_s:
            break  # a connection that was not read to its end is closed
    return data[:_MOST_ANSWER_BYTES].decode(errors="replace")


def _tls(settings: WebhookSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"{settings.ca_file}: cannot be read as certificates ({error}); give a PEM file") from error


def plan(received: Received) -> str:
    """What `WebhookSink` would do with an event, but for the URL."""
    event = received.event
    return f"would post {len(received.document.encode())} bytes, idempotency key {event.epoch}:{event.seq}"
