from __future__ import annotations

import json
from pathlib import Path

import pytest
from adapters_support import journaled, roll_drafts

from glass_edge.adapters.dead_letters import DeadLetters
from glass_edge.adapters.sink import RetryableError
from glass_edge.errors import InputError
from glass_edge.events.client import Received


def append_all(letters: DeadLetters, received: list[Received]) -> None:
    for one in received:
        letters.append(one, "no")


def test_a_line_holds_event_and_reason_and_a_repetition_adds_none(tmp_path: Path) -> None:
    first, second, *_ = journaled(tmp_path / "journal", roll_drafts("R-1"))
    path = tmp_path / "dead/letters.jsonl"
    DeadLetters(path, 1 << 20).append(first, "no")
    letters = DeadLetters(path, 1 << 20)  # after a crash between keeping and committing
    letters.append(first, "no")
    letters.append(second, "never\nagain")
    letters.append(second, "never\nagain")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["epoch"], line["seq"], line["reason"]) for line in lines] == [
        (first.event.epoch, 1, "no"),
        (first.event.epoch, 2, "never\nagain"),
    ]
    assert [line["event"] for line in lines] == [json.loads(first.document), json.loads(second.document)]


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_line_that_a_crash_cut_is_removed_and_the_event_kept_anew(tmp_path: Path, cut: int) -> None:
    first, second, *_ = journaled(tmp_path / "journal", roll_drafts("R-1"))
    path = tmp_path / "letters.jsonl"
    letters = DeadLetters(path, 1 << 20)
    letters.append(first, "no")
    letters.append(second, "no")
    path.write_bytes(path.read_bytes()[:-cut])
    DeadLetters(path, 1 << 20).append(second, "no")
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == [1, 2]


def test_a_full_file_drops_nothing_and_says_what_to_do(tmp_path: Path) -> None:
    received = journaled(tmp_path / "journal", roll_drafts("R-1"))
    path = tmp_path / "letters.jsonl"
    letters = DeadLetters(path, 1500)
    with pytest.raises(RetryableError, match=r"is full .* move the file\s+away"):
        append_all(letters, received)
    assert path.stat().st_size <= 1500
    kept = [json.loads(line)["seq"] for line in path.read_text().splitlines()]
    path.rename(tmp_path / "moved")  # what the message asks for, while the adapter runs
    letters.append(received[len(kept)], "no")
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == [kept[-1] + 1]


def test_a_folder_in_the_way_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        DeadLetters(tmp_path, 1000)
