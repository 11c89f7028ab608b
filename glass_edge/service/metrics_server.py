"""The page /metrics on this machine.

Promises: bound on 127.0.0.1 alone, before anything plays, or an InputError says why not; answered by threads of its
own; the port is free again when the `with` block is left.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, start_http_server

from glass_edge.errors import InputError

_ADDRESS = "127.0.0.1"
_END_S = 5.0


class MetricsServer:
    """Answers with the metrics of `registry`; a context manager.

    Args:
        registry: what is shown.
        port: TCP port; 0: one that is free.
    """

    def __init__(self, registry: CollectorRegistry, port: int) -> None:
        self._registry = registry
        self._port = port

    def __enter__(self) -> Self:
        """Begin to answer.

        Raises:
            InputError: the port cannot be bound.
        """
        try:
            self._server, self._thread = start_http_server(self._port, _ADDRESS, self._registry)
        except OSError as error:
            raise InputError(
                f"metrics.port = {self._port}: cannot be bound on {_ADDRESS} ({error.strerror}); give a free port"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_END_S)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{_ADDRESS}:{self._server.server_port}/metrics"
