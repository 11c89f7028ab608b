"""Topics against the library's own matching and against the samples of the reference."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from adapters_support import idle_draft, journaled, roll_drafts
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.adapters.mqtt_topics import Topics, roll_level
from glass_edge.events.parsing import parse_event

REFERENCE = Path(__file__).resolve().parents[2] / "docs/reference/events.md"
NAMES = st.text(min_size=1, max_size=128).filter(lambda text: text.isprintable())
TOPICS = Topics("mill/loom1")


@given(name=NAMES)
def test_a_roll_level_is_one_plain_level_from_which_the_name_can_be_read(name: str) -> None:
    level = roll_level(name)
    assert re.fullmatch(r"[A-Za-z0-9._~%-]+", level)
    assert unquote(level, errors="strict") == name  # so two names never share a level


@settings(max_examples=20)
@given(name=NAMES)
def test_every_topic_matches_the_filter_that_a_birth_gives_for_it_and_no_other(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    aiomqtt = pytest.importorskip("aiomqtt")
    received = journaled(tmp_path_factory.mktemp("journal") / "journal", [idle_draft(), *roll_drafts(name, 1)])
    matching = {
        "status": "event",
        "roll.start": "roll_start",
        "roll.end": "roll_end",
        "defect.new": "defect",
        "defect.update": "defect",
        "defect.end": "defect",
        "coverage.gap": "gap",
    }
    for one in received:
        topic = aiomqtt.Topic(TOPICS.of_event(one.event))
        found = [name for name, pattern in TOPICS.filters().items() if topic.matches(pattern)]
        assert found == [matching[one.event.kind]]


def test_every_kind_of_the_reference_has_its_topic() -> None:
    samples = re.findall(r"```json event\n(.*?)\n```", REFERENCE.read_text(encoding="utf-8"))
    told = {event.kind: TOPICS.of_event(event) for event in map(parse_event, samples)}
    assert len(told) >= 10
    own = {
        "roll.start": "roll/2025-0117-03/start",
        "roll.end": "roll/2025-0117-03/end",
        "defect.new": "roll/2025-0117-03/defect/1",
        "defect.update": "roll/2025-0117-03/defect/1",
        "defect.end": "roll/2025-0117-03/defect/1",
        "coverage.gap": "gap",
        "stop.request": "stop",
        "stop.ack": "stop",
    }
    assert told == {kind: f"mill/loom1/{own.get(kind, f'event/{kind}')}" for kind in told}


def test_a_kind_of_a_later_schema_has_a_topic_too() -> None:
    (sample,) = re.findall(r'```json event\n(.*?"kind":"coverage.gap".*?)\n```', REFERENCE.read_text(encoding="utf-8"))
    later = sample.replace('"coverage.gap"', '"defect.picture"')
    later = re.sub(r'"schema_version":"1\.\d+"', '"schema_version":"1.99"', later)
    assert TOPICS.of_event(parse_event(later)) == "mill/loom1/event/defect.picture"
