"""What peers that mean no good change for the inspection and for an ordinary client.

    python benchmarks/hostile_peers.py [--seconds 5] [--folder FOLDER] [--only KIND...] [--json]

A station on tcp with CURVE emits 100 events a second; an allowed client, in a process of its own, follows. Before and
during each peer of `event_peers.py`: what emit takes, and the time until the client has the event; and what the station
refused and logged. Before is measured again for each, since the machine may be shared.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import event_peers
from event_timing import Listener, defect, emit_and_hear, machine

from glass_edge.config.events import EventSettings
from glass_edge.events.curve_keys import ClientKeys, allow, make_key_pair, read_pair, read_public, revoke
from glass_edge.events.errors import NoAnswerError
from glass_edge.events.publisher import Publisher
from glass_edge.events.requester import request_status
from glass_edge.events.wire import StatusReply

_HZ = 100.0
_STORY = 2000  # events that a replay can ask for

PEERS = {
    "none": ("", ""),
    "unknown CURVE key": ("unlisted", "stranger"),
    "revoked CURVE key": ("unlisted", "former"),
    "no CURVE key": ("unlisted", ""),
    "no ZeroMQ": ("foreign", ""),
    "replays, read": ("greedy", "guest"),
    "replays, not read": ("deaf", "guest"),
    "subscriptions": ("flooding", "guest"),
    "stopped subscriber": ("stalled", "guest"),
    "messages of 100 MB": ("huge", "guest"),
    "malformed requests": ("malformed", "guest"),
    "commands not allowed": ("pushy", "guest"),
}
"""Kind of peer in `event_peers.py`, and whose key it has."""


class _Count(logging.Handler):
    """Counts lines of log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        """One more."""
        del record
        self.lines += 1


class Mill:
    """The station's keys, and those of clients."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server, _ = make_key_pair(folder / "keys", "loom1")
        self.keys = {name: self._keys_of(name) for name in ("hmi", "guest", "former", "stranger")}
        for name in ("hmi", "guest", "former"):
            allow(folder / f"keys/{name}.key", folder / "clients")

    def _keys_of(self, name: str) -> ClientKeys:
        secret, _ = make_key_pair(self._folder / "keys", name)
        return ClientKeys(read_public(self._folder / "keys/loom1.key"), read_pair(str(secret)))

    def flat(self, name: str) -> Sequence[bytes]:
        """Keys of a peer; none without a name."""
        if not name:
            return ()
        keys = self.keys[name]
        return keys.server_public, keys.own.public, keys.own.secret

    def settings(self) -> EventSettings:
        """Of the station."""
        return EventSettings.model_validate(
            {
                "curve": {"server_key": str(self._server), "allowed_clients": self._folder / "clients"},
                "journal": self._folder / "journal",
                "publish_endpoint": "tcp://127.0.0.1:*",
                "request_endpoint": "tcp://127.0.0.1:*",
            }
        )

    def revoke(self) -> None:
        """Take the key of the former client out."""
        revoke("former", self._folder / "clients")


def status_of(publisher: Publisher, keys: ClientKeys) -> StatusReply:
    """The status, asked for again where a flood cost the first request."""
    while True:
        with suppress(NoAnswerError):
            return request_status(publisher.request_endpoint, timeout_s=3.0, keys=keys)


def measure(folder: Path, seconds: float, only: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each kind of peer."""
    counter = _Count()
    logging.getLogger("glass_edge").addHandler(counter)
    mill, rows = Mill(folder), []
    own = mill.keys["hmi"]
    with Publisher(mill.settings(), "loom1") as publisher:
        ends = publisher.publish_endpoint, publisher.request_endpoint
        for first in range(1, _STORY, 100):
            publisher.emit_all([defect(number) for number in range(first, first + 100)])
        with Listener("client", *ends, keys=own) as client:
            for name in only:
                kind, whose = PEERS[name]
                status, lines = status_of(publisher, own), counter.lines
                before = emit_and_hear(publisher, client, seconds, _HZ)
                if whose == "former":
                    mill.revoke()  # which cuts all connections, once
                with event_peers.at_work(*ends, *([kind] if kind else []), keys=mill.flat(whose)):
                    during = emit_and_hear(publisher, client, seconds, _HZ)
                after = status_of(publisher, own)
                rows.append(
                    {
                        "peer": name,
                        "before": before,
                        "during": during,
                        "connections_refused": after.clients_refused - status.clients_refused,
                        "requests": after.requests - status.requests,
                        "requests_refused": after.requests_refused - status.requests_refused,
                        "log_lines": counter.lines - lines,
                        "load": os.getloadavg()[0],
                    }
                )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ge-", dir=options.folder) as name:
        here = machine(Path(name))
        rows = measure(Path(name), options.seconds, options.only)
    if options.json:
        print(json.dumps({"machine": here, "rows": rows}, indent=2))
        return
    print(here)
    columns = f"{'emit before':>18}{'during':>18}{'heard before':>18}{'during':>18}"
    print(f"{'ms, p50 p99':24}{columns}  refused: connections, requests")
    for row in rows:
        before, during = row["before"], row["during"]
        spans = f"{before.emit!s:>18}{during.emit!s:>18}{before.heard!s:>18}{during.heard!s:>18}"
        refused = f"{row['connections_refused']}, {row['requests_refused']} of {row['requests']}"
        print(f"{row['peer']:24}{spans}  {refused}; {row['log_lines']} log lines; load {row['load']:.1f}")


if __name__ == "__main__":
    main()
