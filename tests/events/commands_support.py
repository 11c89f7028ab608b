"""What the tests of commands share: a station that notes what it is told, and a mill with keys and roles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq
from events_support import MAKER, ipc_settings

from glass_edge.config.events import EventSettings, Role
from glass_edge.events.curve_keys import ClientKeys, allow, make_key_pair, read_pair, read_public
from glass_edge.events.errors import RequestRefusedError
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import Command, StationState
from glass_edge.events.schema import Draft, Event


class Loom:
    """Carries out what it is told, except what it does not know."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.is_bypassed = False

    def change_roll(self, roll_id: str) -> int:
        if roll_id == "open":
            raise RequestRefusedError("the roll open is open already")
        if roll_id == "broken":
            raise ValueError("a mistake of the station's")
        self.told.append(("roll", roll_id))
        return 4711

    def change_recipe(self, style: str, version: str | None) -> str:
        if style != "twill":
            raise RequestRefusedError(f"no engine of style {style}; there is twill")
        self.told.append(("recipe", style, version))
        return version or "7"

    def set_bypass(self, is_on: bool, reason: str) -> None:
        self.told.append(("bypass", is_on, reason))
        self.is_bypassed = is_on

    def take_challenge(self, is_passed: bool) -> None:
        self.told.append(("challenge", is_passed))

    def present_status(self) -> Draft:
        return MAKER.status(StationState.CONTINUOUS_EXECUTION, is_bypassed=self.is_bypassed)


class Keys:
    """Keys of a station and of clients, and the folder of those allowed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients = folder / "clients"
        self.clients.mkdir()
        self.server_secret, self.server_public = make_key_pair(folder / "keys", "station")

    def client(self, name: str, role: Role | None = None, *, is_allowed: bool = True) -> ClientKeys:
        secret, public = make_key_pair(self.folder / "keys", name)
        if is_allowed:
            allow(public, self.clients, role)
        return ClientKeys(read_public(self.server_public), read_pair(str(secret)))

    def give_role(self, name: str, role: Role) -> None:
        allow(self.folder / "keys" / f"{name}.key", self.clients, role)

    def settings(self, **changes: object) -> EventSettings:
        return ipc_settings(
            self.folder,
            publish_endpoint="tcp://127.0.0.1:*",
            request_endpoint="tcp://127.0.0.1:*",
            curve={"server_key": str(self.server_secret), "allowed_clients": self.clients},
            **changes,
        )


@contextmanager
def raw_dealer(endpoint: str, keys: ClientKeys | None = None) -> Iterator[zmq.Socket[Any]]:
    """A peer that sends what it likes."""
    context: zmq.Context[Any] = zmq.Context()
    sock: zmq.Socket[Any] = context.socket(zmq.DEALER)
    sock.setsockopt(zmq.LINGER, 0)
    sock.setsockopt(zmq.RCVTIMEO, 30_000)
    if keys is not None:
        sock.setsockopt(zmq.CURVE_SERVERKEY, keys.server_public)
        sock.setsockopt(zmq.CURVE_PUBLICKEY, keys.own.public)
        sock.setsockopt(zmq.CURVE_SECRETKEY, keys.own.secret)
    sock.connect(endpoint)
    try:
        yield sock
    finally:
        sock.close()
        context.term()


def journal_of(path: Path) -> list[Event]:
    """All events of a journal."""
    with JournalReader(path) as reader:
        return [parse_event(stored.document) for stored in reader.read(1, 1_000_000).events]


def commands_in(events: list[Event]) -> list[Command]:
    """The payloads of the commands among them."""
    return [event.payload for event in events if isinstance(event.payload, Command)]
