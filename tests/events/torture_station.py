"""A station for the torture test: `FOLDER SETTINGS SEED OFFSET...`; emits rolls until SIGTERM, then only serves.

It keeps no more than some events ahead of the adapters whose offset files are named, so that the test ends on a slow
disk too. After SIGTERM it ends the roll under way and says how many events the journal has.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from pathlib import Path

from adapters_support import idle_draft, roll_drafts

from glass_edge.config.base import load_toml
from glass_edge.config.events import EventSettings
from glass_edge.events.publisher import Publisher

_MOST_AHEAD = 300
_is_ending = False


def _end(*_: object) -> None:
    global _is_ending  # noqa: PLW0603 - a signal handler has no other way
    _is_ending = True


def _place(offset: Path) -> int:
    return int(json.loads(offset.read_text())["seq"]) if offset.exists() else 0


def _weave(publisher: Publisher, chance: random.Random, offsets: list[Path]) -> int:
    """Rolls one after the other, a few events at a time; the number of the last event."""
    while True:
        # seven names, so that names come again; a roll that a kill cut short ends with the next roll's start
        drafts = [*roll_drafts(f"R/{chance.randrange(7)}", chance.randint(0, 12)), idle_draft()]
        while drafts:
            count = chance.randint(1, 5)
            head = publisher.emit_all(drafts[:count])[-1].seq
            del drafts[:count]
            time.sleep(0.04)
            while not _is_ending and head - min(map(_place, offsets)) > _MOST_AHEAD:
                time.sleep(0.02)
        if _is_ending:
            return head


def main(settings: Path, seed: str, offsets: list[Path]) -> None:
    signal.signal(signal.SIGTERM, _end)
    with Publisher(load_toml(settings, EventSettings), "loom1") as publisher:
        print("ready", flush=True)  # noqa: T201 - to the test
        print(_weave(publisher, random.Random(seed), offsets), flush=True)  # noqa: T201
        sys.stdin.read()  # serves until the test ends it


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [Path(text) for text in sys.argv[3:]])
