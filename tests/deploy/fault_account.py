"""The three sums of the suite of faults: cloth, deliveries, numbers; each against what this side has seen itself."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from fault_mill import COUNTS, Mill

from glass_edge.adapters.status_file import read_status
from glass_edge.events.journal_check import verify
from glass_edge.service.web_place import WebPlace

Document = dict[str, Any]
BLOCK_LINES = 64


@dataclass(frozen=True)
class Archive:
    """A journal just before it was damaged, and how far the web was told then."""

    epoch: str
    documents: list[Document]
    place: WebPlace


@dataclass
class Account:
    """What this side knows of the cloth besides the journal."""

    origin_count: int = 0
    """Encoder at the first line of the first run."""
    archives: list[Archive] = field(default_factory=list)
    unknown_lines: list[int] = field(default_factory=list)
    """Lines of each stretch whose length the station could not know."""

    def begin(self, mill: Mill) -> None:
        place = mill.place()
        assert place is not None
        self.origin_count = count_at_zero(place)

    def archive(self, mill: Mill) -> Archive:
        """Of a station that is down."""
        place = mill.place()
        assert place is not None
        documents = mill.documents()
        return Archive(documents[-1]["epoch"], documents, place)

    def check(self, mill: Mill) -> dict[str, int]:
        """Assert that all sums hold, of a station that is down and adapters that have come to rest; its figures."""
        final = mill.documents()
        journals = [*((one.epoch, one.documents) for one in self.archives), (final[-1]["epoch"], final)]
        figures = self._cloth(mill, final)
        self._numbers(mill, final)
        for number, (epoch, documents) in enumerate(journals):
            texts = [json.dumps(one) for one in documents]
            is_last = number == len(journals) - 1
            for kind, taken in (("webhook", posted(mill)), ("sql", stored(mill)), ("files", filed(mill))):
                wanted = [one for one in documents if one["roll_id"] is not None] if kind == "files" else documents
                found = taken.get(epoch, [])
                assert [json.dumps(one) for one in found] == [json.dumps(one) for one in wanted[: len(found)]], kind
                assert not is_last or len(found) == len(wanted), (kind, len(found), len(wanted))
            figures["events"] = figures.get("events", 0) + len(texts)
        assert not mill.server.changed
        assert set(posted(mill)) <= {epoch for epoch, _ in journals}
        status = read_status(mill.state("modbus") / "status.json")
        assert (status.epoch, status.seq) == (final[-1]["epoch"], final[-1]["seq"])
        figures["posted twice"] = mill.server.repeats.total()
        return figures

    def _cloth(self, mill: Mill, final: list[Document]) -> dict[str, int]:
        """Cloth woven = inspected + told as not inspected, over all rolls and the time the station was down."""
        inspected = missed = 0
        for one in self.archives:
            seen, lost = rolls(one.documents, open_until=one.place.line)
            inspected, missed = inspected + seen, missed + lost
        seen, lost = rolls(final, open_until=None)
        inspected, missed = inspected + seen, missed + lost
        place = mill.place()
        assert place is not None
        assert place.encoder_count is not None
        told = (place.encoder_count - self.origin_count) // COUNTS
        assert inspected + missed + sum(self.unknown_lines) == told, (inspected, missed, self.unknown_lines, told)
        woven = (mill.loom.encoder_count - self.origin_count) // COUNTS
        assert 0 <= woven - told <= BLOCK_LINES, (woven, told)  # a block that is not full is not handed over
        return {"woven": woven, "inspected": inspected, "missed": missed, "unknown": sum(self.unknown_lines)}

    def _numbers(self, mill: Mill, final: list[Document]) -> None:
        report = verify(mill.journal)
        assert report.is_whole, report.findings
        assert [one["seq"] for one in final] == list(range(1, len(final) + 1))
        every = [*itertools.chain.from_iterable(one.documents for one in self.archives), *final]
        codes = [one["payload"].get("fault_code") for one in every if one["kind"] == "status"]
        assert codes.count("journal_damaged") == len(self.archives)
        assert sum("unknown length" in str(one["payload"].get("message")) for one in every) == len(self.unknown_lines)
        kept = list(mill.journal.parent.glob("events.journal.damaged-*.jsonl"))
        assert len(kept) <= len(self.archives)
        known = {json.dumps(one) for archive in self.archives for one in archive.documents}
        for path in kept:  # what could be read is what was told, but for bytes that are damaged
            lines = path.read_text().splitlines()
            strange = sum(json.dumps(json.loads(line)) not in known for line in lines)
            assert strange <= 8, (path, strange, len(lines))


def count_at_zero(place: WebPlace) -> int:
    """Encoder at web line 0 of the run that wrote `place`."""
    assert place.encoder_count is not None
    return place.encoder_count - place.line * COUNTS


def rolls(documents: list[Document], open_until: int | None) -> tuple[int, int]:
    """Lines inspected and lines missed of all rolls; each roll's gaps must add up, and no two overlap."""
    inspected = missed = 0
    start: Document | None = None
    gaps: list[tuple[int, int]] = []
    for one in documents:
        payload = one["payload"]
        if one["kind"] == "roll.start":
            assert start is None, f"roll {start} has no end"
            start, gaps = one, []
        elif one["kind"] == "coverage.gap":
            gaps.append((payload["first_line"], payload["end_line"]))
        elif one["kind"] == "roll.end":
            assert start is not None
            first = start["payload"]["first_line"]
            assert first + payload["lines_woven"] == payload["end_line"]
            assert sum(end - begin for begin, end in gaps) == payload["lines_missed"], one
            assert all(before[1] <= after[0] for before, after in itertools.pairwise(gaps))
            assert all(first <= begin and end <= payload["end_line"] for begin, end in gaps)
            inspected += payload["lines_inspected"]
            missed += payload["lines_missed"]
            start = None
    if start is not None:
        assert open_until is not None, f"the last roll has no end: {start}"
        lost = sum(max(0, min(end, open_until) - begin) for begin, end in gaps)
        missed += lost
        inspected += open_until - start["payload"]["first_line"] - lost
    return inspected, missed


def by_epoch(documents: list[Document]) -> dict[str, list[Document]]:
    found = defaultdict(list)
    for one in documents:
        found[one["epoch"]].append(one)
    return dict(found)


def posted(mill: Mill) -> dict[str, list[Document]]:
    """What the server took, in the order of its first arrival."""
    return by_epoch([json.loads(text) for text in mill.server.first.values()])


def stored(mill: Mill) -> dict[str, list[Document]]:
    """What is in the database, in the order of its numbers: each is there at most once by its key."""
    with contextlib.closing(sqlite3.connect(mill.database)) as database:
        rows = database.execute("SELECT document FROM events ORDER BY epoch, seq").fetchall()
    return by_epoch([json.loads(text) for (text,) in rows])


def filed(mill: Mill) -> dict[str, list[Document]]:
    """What is in the files of rolls, roll by roll; no event may be in two."""
    files = [json.loads(path.read_text()) for path in (mill.folder / "rolls").glob("*.json")]
    files.sort(key=lambda one: one["first_seq"])
    assert all(not one["lost_events"] for one in files)
    return by_epoch([event for one in files for event in one["events"]])
