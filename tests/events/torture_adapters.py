"""The adapters that the torture test drives, and what each has to hold in the end.

To add one: a class with `kind` (its `glass-edge adapter` command), `settings` (its tables of the adapter file) and
`check` (what the journal holds against what arrived), and a line in `cases`.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from https_server import Answer, HttpsServer, Taken, make_certificates

_BAD_ANSWERS: tuple[Answer | None, ...] = ((503, {}, b""), (429, {"Retry-After": "0"}, b""), None)
_GOODNESS = 0.97


class Case(Protocol):
    """An adapter under torture."""

    kind: str

    def settings(self) -> str:
        """Tables of its file beside `[source]`, `[state]` and `[retry]`."""

    def check(self, journal: list[str]) -> None:
        """Assert that every event of the journal (documents, in order) arrived once and in order."""


class FilesCase:
    """Files of each roll, and the store of the roll that is open."""

    kind = "files"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def settings(self) -> str:
        return f'[files]\nfolder = "{self._folder}/rolls"\n'

    def check(self, journal: list[str]) -> None:
        files = [json.loads(path.read_text()) for path in (self._folder / "rolls").glob("*.json")]
        files.sort(key=lambda file: file["first_seq"])
        written = [event for file in files for event in file["events"]]
        woven = [event for event in map(json.loads, journal) if event["roll_id"] is not None]
        assert written == woven
        assert all(not file["lost_events"] for file in files)
        starts = [event["seq"] for event in woven if event["kind"] == "roll.start"]
        assert [file["first_seq"] for file in files] == starts
        assert not list((self._folder / "rolls/.part").iterdir())


class WebhookCase:
    """A server that takes an event once by its idempotency key, with bad moments before and after it took it."""

    kind = "webhook"

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._first: dict[str, str] = {}
        self.repeats: Counter[str] = Counter()
        self._ca, pem = make_certificates(folder)
        secret = folder / "secret"
        secret.touch(mode=0o600)
        secret.write_text("whsec_" + base64.b64encode(bytes(32)).decode())
        self.server = HttpsServer(pem, self._answer)

    def settings(self) -> str:
        return (
            f'[webhook]\nurl = "{self.server.url}"\nsecret_file = "{self._folder}/secret"\nca_file = "{self._ca}"\n'
            "timeout_s = 2.0\n"
        )

    def check(self, journal: list[str]) -> None:
        assert list(self._first.values()) == journal

    def _answer(self, taken: Taken) -> Answer | None:
        key, text = taken.headers["Idempotency-Key"], taken.body.decode()
        with self._lock:
            if self._chance.random() > _GOODNESS:
                return self._chance.choice(_BAD_ANSWERS)
            if key in self._first:
                assert self._first[key] == text
                self.repeats[key] += 1
            self._first.setdefault(key, text)
            return (204, {}, b"") if self._chance.random() < _GOODNESS else self._chance.choice(_BAD_ANSWERS)


class SqlCase:
    """A database of SQLite."""

    kind = "sql"

    def __init__(self, folder: Path) -> None:
        self._file = folder / "events.sqlite"

    def settings(self) -> str:
        return f'[sql]\nurl = "sqlite:///{self._file}"\n'

    def check(self, journal: list[str]) -> None:
        with sqlite3.connect(self._file) as database:
            rows = database.execute("SELECT document FROM events ORDER BY seq").fetchall()
        assert [text for (text,) in rows] == journal


@contextmanager
def cases(folder: Path, seed: int) -> Iterator[list[Case]]:
    """The adapters that can run here, each with a folder of its own."""
    found: list[Case] = []
    with ExitStack() as stack:
        places = {kind: folder / kind for kind in ("files", "webhook", "sql")}
        for place in places.values():
            place.mkdir()
        found.append(FilesCase(places["files"]))
        if importlib.util.find_spec("httpx2") is not None:
            webhook = WebhookCase(places["webhook"], seed)
            stack.enter_context(webhook.server)
            found.append(webhook)
        if importlib.util.find_spec("sqlalchemy") is not None:
            found.append(SqlCase(places["sql"]))
        yield found
