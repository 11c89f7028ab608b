"""The MQTT adapter at a real broker, read by mosquitto's own clients."""

from __future__ import annotations

import json
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from adapters_support import defect, eventually, idle_draft, ipc_settings, offset_seq, roll_drafts
from mosquitto_server import (
    Mosquitto,
    Subscriber,
    needs_mosquitto,
    password_file,
    publish,
    retained,
    user_property,
)

pytest.importorskip("aiomqtt")

from mqtt_support import BASE, Log, mqtt_adapter, mqtt_settings

from glass_edge.adapters.mqtt import MqttSink
from glass_edge.adapters.mqtt_topics import roll_level
from glass_edge.errors import InputError
from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Event

pytestmark = needs_mosquitto
EVENTS = ("roll/", "gap", "stop", "event/")


def events_of(subscriber: Subscriber) -> list[dict[str, object]]:
    """Event documents in the order they came."""
    return [
        message["payload"]
        for message in subscriber.messages(f"{BASE}/")
        if message["topic"].removeprefix(f"{BASE}/").startswith(EVENTS)
    ]


def documents(events: list[Event]) -> list[dict[str, object]]:
    return [json.loads(event.to_json()) for event in events]


def once(found: list[dict[str, object]]) -> list[dict[str, object]]:
    """As a reader does who takes an event by its number: what does not go on from the last is a repetition."""
    taken: list[dict[str, object]] = []
    for document in found:
        if not taken or document["seq"] > taken[-1]["seq"]:
            taken.append(document)
    return taken


def test_a_reader_gets_each_document_as_it_was_published_numbered_without_a_gap(short_path: Path) -> None:
    name = "Röll 7/3 #+$"
    with (
        Mosquitto(short_path) as broker,
        Subscriber(broker.port, short_path / "got", "-t", f"{BASE}/#") as reader,
        Publisher(ipc_settings(short_path), "loom1") as publisher,
    ):
        eventually(lambda: "SUBACK" in broker.log(), "the reader's subscription")
        with mqtt_adapter(mqtt_settings(short_path, broker.url)):
            events = publisher.emit_all([idle_draft(), *roll_drafts(name, 2)])
            eventually(lambda: offset_seq(short_path) == len(events), "all committed")
            eventually(
                lambda: (
                    (last := reader.messages(f"{BASE}/state")) != []
                    and last[-1]["payload"]["view"] is not None
                    and last[-1]["payload"]["view"]["seq"] == len(events)
                    and last[-1]["payload"]["is_heard"]
                    and not last[-1]["payload"]["is_behind"]
                ),
                "the last state",
            )
        eventually(lambda: reader.messages(f"{BASE}/death") != [], "the end")
        messages = reader.messages()
    assert events_of(reader) == documents(events)
    assert [user_property(message, "number") for message in messages] == [str(n) for n in range(len(messages))]
    assert {user_property(message, "session") for message in messages} == {str(messages[0]["payload"]["session"])}
    assert messages[0]["topic"] == f"{BASE}/birth"
    assert messages[0]["payload"]["topics"]["defect"] == f"{BASE}/roll/+/defect/+"
    assert (messages[-1]["topic"], messages[-1]["payload"]["reason"]) == (f"{BASE}/death", "ended")
    topics = [message["topic"].removeprefix(f"{BASE}/") for message in messages if "roll/" in message["topic"]]
    assert {unquote(topic.split("/")[1]) for topic in topics} == {name}
    assert [topic.removeprefix(f"roll/{roll_level(name)}/") for topic in topics] == (
        ["start", *3 * ["defect/1"], *3 * ["defect/2"], "end"]
    )
    assert {user_property(message, "historical") for message in messages if "roll/" in message["topic"]} == {"false"}
    assert all(message["properties"]["content-type"] == "application/json" for message in messages)


def view_seq(state: dict[str, Any]) -> int | None:
    """Newest event in a state; before the first there is no view."""
    view = state["payload"]["view"]
    return None if view is None else view["seq"]


def test_a_late_subscriber_gets_birth_state_and_the_ends_of_rolls_and_nothing_else(short_path: Path) -> None:
    with Mosquitto(short_path) as broker, Publisher(ipc_settings(short_path), "loom1") as publisher:
        settings = mqtt_settings(short_path, broker.url, roll_days=2)
        with mqtt_adapter(settings):
            publisher.emit_all([*roll_drafts("R-1", 3), *roll_drafts("R-2", 1), idle_draft()])
            eventually(lambda: offset_seq(short_path) == 19, "all committed")
            eventually(
                lambda: [view_seq(one) for one in retained(broker.port, f"{BASE}/state")] == [19],
                "the last state",
            )
            kept = {message["topic"]: message for message in retained(broker.port, "#")}
        assert set(kept) == {f"{BASE}/{name}" for name in ("birth", "state", "roll/R-1/end", "roll/R-2/end")}
        view = kept[f"{BASE}/state"]["payload"]["view"]
        assert (view["status"]["state"], view["roll"]["roll_id"], view["roll"]["defects"]) == ("Ready", "R-2", 1)
        expiry_s = kept[f"{BASE}/roll/R-1/end"]["properties"]["message-expiry-interval"]
        assert 2 * 86400 - 120 < expiry_s < 2 * 86400  # less the age, so a replay of old rolls does not renew them
        assert "message-expiry-interval" not in kept[f"{BASE}/state"]["properties"]
        (death,) = retained(broker.port, f"{BASE}/death")
        assert death["payload"]["session"] == kept[f"{BASE}/birth"]["payload"]["session"]
        with mqtt_adapter(settings):
            eventually(
                lambda: retained(broker.port, f"{BASE}/birth")[0]["payload"]["session"] > death["payload"]["session"],
                "a birth that the old death does not concern",
            )
            (state,) = retained(broker.port, f"{BASE}/state")
            assert state["payload"]["view"] == view  # though no event came in this session


def test_a_rebirth_is_told_when_asked_for_and_not_more_often_than_allowed(short_path: Path) -> None:
    with (
        Mosquitto(short_path) as broker,
        Subscriber(broker.port, short_path / "got", "-t", f"{BASE}/birth", "-t", f"{BASE}/state") as reader,
        Publisher(ipc_settings(short_path), "loom1"),
        mqtt_adapter(mqtt_settings(short_path, broker.url, rebirth_s=1.5, state_s=600)),
    ):
        eventually(lambda: len(reader.messages()) == 2, "birth and state")
        publish(broker.port, f"{BASE}/rebirth")
        eventually(lambda: len(reader.messages()) == 4, "both again")
        for _ in range(20):
            publish(broker.port, f"{BASE}/rebirth", "please" * 2000)  # a payload this client does not even take
            publish(broker.port, f"{BASE}/rebirth", "please")
        eventually(lambda: len(reader.messages()) >= 6, "the answer to those that came too soon")
        births = reader.messages(f"{BASE}/birth")
        assert len({birth["payload"]["session"] for birth in births}) == 1
        assert len(births) <= 5  # twenty requests took a few seconds at most


def test_what_the_broker_does_not_allow_waits_and_goes_on_in_order(short_path: Path) -> None:
    acl = short_path / "acl"
    allowed = f"topic readwrite {BASE}/#\ntopic read #\n"
    acl.write_text(f"topic deny {BASE}/gap\n" + allowed)
    acl.chmod(0o700)
    log = Log()
    with (
        Mosquitto(short_path, f"acl_file {acl}") as broker,
        Subscriber(broker.port, short_path / "got", "-t", "#") as reader,
        Publisher(ipc_settings(short_path), "loom1") as publisher,
        mqtt_adapter(mqtt_settings(short_path, broker.url), log) as running,
    ):
        events = publisher.emit_all(roll_drafts("R-1", 1))
        eventually(lambda: running.status()["state"] == "retrying", "the refusal")
        error = running.status()["last_error"]["text"]
        assert f"{BASE}/gap: does not let this client write there; allow it in its access list" in error
        assert offset_seq(short_path) < 5
        assert len(once(events_of(reader))) == 4
        acl.write_text(allowed)
        broker.reload()
        eventually(lambda: offset_seq(short_path) == 6, "the rest")
        eventually(lambda: len(events_of(reader)) >= 6, "the reader's")
    assert events_of(reader) == documents(events)  # those before the refused one were not sent again
    assert not (short_path / "state/dead-letters.jsonl").exists()


def test_an_event_larger_than_the_broker_takes_is_kept_and_the_others_go_on(short_path: Path) -> None:
    with (
        Mosquitto(short_path, "max_packet_size 2300") as broker,
        Subscriber(broker.port, short_path / "got", "-t", f"{BASE}/#") as reader,
        Publisher(ipc_settings(short_path), "loom1") as publisher,
        mqtt_adapter(mqtt_settings(short_path, broker.url)),
    ):
        drafts = roll_drafts("R-1", 1)
        gap = drafts[4]
        drafts[4] = gap.model_copy(update={"payload": gap.payload.model_copy(update={"detail": "x" * 2000})})
        events = publisher.emit_all(drafts)
        eventually(lambda: offset_seq(short_path) == 6, "all committed")
        eventually(lambda: len(events_of(reader)) >= 5, "the reader's")
    assert once(events_of(reader)) == documents([event for event in events if event.seq != 5])
    (line,) = (short_path / "state/dead-letters.jsonl").read_text().splitlines()
    assert json.loads(line)["event"] == json.loads(events[4].to_json())
    assert "takes 2300 at most; raise its limit" in json.loads(line)["reason"]


def test_a_wrong_password_is_told_and_mended_while_it_runs(short_path: Path) -> None:
    users = password_file(short_path / "users", loom="right")
    secret = short_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("wrong\n")
    log = Log()
    with (
        Mosquitto(short_path, f"password_file {users}") as broker,
        Publisher(ipc_settings(short_path), "loom1") as publisher,
    ):
        settings = mqtt_settings(short_path, broker.url, user="loom", password_file=str(secret))
        with mqtt_adapter(settings, log) as running:
            eventually(lambda: running.status()["state"] == "retrying", "the refusal, though no event waits")
            publisher.emit(idle_draft())
            eventually(lambda: "password_file" in running.status()["last_error"]["text"], "the reason")
            assert offset_seq(short_path) == 0
            secret.write_text("right\n")
            eventually(lambda: offset_seq(short_path) == 1, "the event")
            eventually(lambda: running.status()["state"] == "following", "its state")
    assert any("correct user and password_file" in line for line in log.lines)
    secret.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"), mqtt_adapter(settings):
        pass


def test_of_two_adapters_under_one_id_the_first_leaves_and_says_so(short_path: Path) -> None:
    log = Log()
    with Mosquitto(short_path) as broker, Publisher(ipc_settings(short_path), "loom1") as publisher:
        settings = mqtt_settings(short_path, broker.url, client_id="same")
        second = settings.model_copy(update={"state": settings.state.model_copy(update={"folder": short_path / "two"})})
        (short_path / "two").mkdir()
        with mqtt_adapter(settings, log) as running:
            publisher.emit(idle_draft())
            eventually(lambda: offset_seq(short_path) == 1, "a delivery")
            time.sleep(0.01)  # births are told apart by their time
            with closing(MqttSink(second, Log())):
                eventually(lambda: running.status()["state"] == "retrying", "the takeover")
                publisher.emit(idle_draft())
                eventually(lambda: "two adapters share a client id" in running.status()["last_error"]["text"], "why")
                eventually(lambda: running.status()["retries"] >= 4, "further tries of the delivery")
                # two begin, the first looks who is there, the second comes back: nobody fights
                connections = broker.log().count("as same (")
                assert connections <= 4
                time.sleep(1.5)
                assert broker.log().count("as same (") == connections
                number = json.loads((short_path / "two/session.json").read_text())["session"]
                (birth,) = retained(broker.port, f"{BASE}/birth")
                assert birth["payload"]["session"] == number
            assert offset_seq(short_path) == 1  # not lost: it comes when the id is free
        with mqtt_adapter(settings):
            eventually(lambda: offset_seq(short_path) == 2, "the event that waited")
    assert any("give each its own client_id" in line for line in log.lines)


def test_two_adapters_of_one_station_with_ids_of_their_own_are_told_of(short_path: Path) -> None:
    log = Log()
    with Mosquitto(short_path) as broker, Publisher(ipc_settings(short_path), "loom1"):
        settings = mqtt_settings(short_path, broker.url, client_id="one")
        other = mqtt_settings(short_path, broker.url, client_id="two")
        other = other.model_copy(update={"state": settings.state.model_copy(update={"folder": short_path / "two"})})
        (short_path / "two").mkdir()
        with mqtt_adapter(settings, log):
            eventually(lambda: retained(broker.port, f"{BASE}/birth") != [], "the first")
            with closing(MqttSink(other, Log())):
                eventually(lambda: any("publishes as station loom1 too" in line for line in log.lines), "the complaint")


def test_a_broker_that_is_away_for_long_gets_all_that_waited_as_historical(short_path: Path) -> None:
    with Mosquitto(short_path) as broker, Publisher(ipc_settings(short_path), "loom1") as publisher:
        broker.end(signal.SIGTERM)
        settings = mqtt_settings(short_path, broker.url, historical_s=1)
        with mqtt_adapter(settings) as running:
            events = publisher.emit_all([*roll_drafts("R-1", 30), idle_draft()])
            eventually(lambda: running.status()["state"] == "retrying", "the outage")
            eventually(lambda: running.status()["retries"] >= 4, "tries")
            assert "cannot be reached" in running.status()["last_error"]["text"]
            broker.start()
            with Subscriber(broker.port, short_path / "got", "-t", f"{BASE}/#") as reader:
                eventually(lambda: offset_seq(short_path) == len(events), "all committed")
                live = publisher.emit_all([idle_draft(1)])
                eventually(lambda: offset_seq(short_path) == len(events) + 1, "a live one")
                eventually(lambda: events_of(reader)[-1:] == documents(live), "the reader's")
            flags = [user_property(one, "historical") for one in reader.messages(f"{BASE}/roll/")]
            # the reader may have come after the first few
            assert len(flags) > 0
            assert set(flags) == {"true"}
            assert user_property(reader.messages(f"{BASE}/event/status")[-1], "historical") == "false"


def test_a_view_that_cannot_be_kept_holds_events_back_and_repeats_none(short_path: Path) -> None:
    with (
        Mosquitto(short_path) as broker,
        Subscriber(broker.port, short_path / "got", "-t", f"{BASE}/#") as reader,
        Publisher(ipc_settings(short_path), "loom1") as publisher,
        mqtt_adapter(mqtt_settings(short_path, broker.url)) as running,
    ):
        (short_path / "state/view.json").mkdir()  # as unwritable as a full disk, also for root
        events = publisher.emit_all(roll_drafts("R-1", 1))
        eventually(lambda: running.status().get("retries", 0) >= 3, "tries")
        assert "make room or mend it" in running.status()["last_error"]["text"]
        assert events_of(reader) == []
        (short_path / "state/view.json").rmdir()
        eventually(lambda: offset_seq(short_path) == 6, "all committed")
        eventually(lambda: len(events_of(reader)) >= 6, "the reader's")
    assert events_of(reader) == documents(events)


def test_a_broken_file_of_the_sessions_is_told_and_mended_while_it_runs(short_path: Path) -> None:
    with Mosquitto(short_path) as broker, Publisher(ipc_settings(short_path), "loom1") as publisher:
        (short_path / "state").mkdir()
        (short_path / "state/session.json").write_text("{}")
        with mqtt_adapter(mqtt_settings(short_path, broker.url)) as running:
            publisher.emit(idle_draft())
            eventually(lambda: running.status()["state"] == "retrying", "the trouble")
            eventually(lambda: "session.json: is no number" in running.status()["last_error"]["text"], "its reason")
            (short_path / "state/session.json").unlink()
            eventually(lambda: offset_seq(short_path) == 1, "the event")


def test_the_access_list_of_the_how_to_is_enough(short_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/how-to/connect-mqtt.md").read_text(encoding="utf-8")
    (block,) = (text for text in page.split("```") if text.lstrip().startswith("# acl:"))
    acl = short_path / "acl"
    acl.write_text(block.replace("mill/weaving", "mill"))
    acl.chmod(0o700)
    users = password_file(short_path / "users", loom1="p1", mes="p2")
    secret = short_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("p1")
    log = Log()
    mes = ("-u", "mes", "-P", "p2")
    with (
        Mosquitto(short_path, f"password_file {users}", f"acl_file {acl}") as broker,
        Subscriber(broker.port, short_path / "got", "-t", f"{BASE}/#", *mes) as reader,
        Publisher(ipc_settings(short_path), "loom1") as publisher,
    ):
        eventually(lambda: "SUBACK" in broker.log(), "the reader's subscription")
        with mqtt_adapter(mqtt_settings(short_path, broker.url, user="loom1", password_file=str(secret)), log):
            events = publisher.emit_all([*roll_drafts("R-1", 1), idle_draft()])
            eventually(lambda: len(events_of(reader)) == len(events), "all events")
            publish(broker.port, f"{BASE}/rebirth", "", *mes)
            eventually(lambda: len(reader.messages(f"{BASE}/birth")) == 2, "a rebirth")
        eventually(lambda: len(reader.messages(f"{BASE}/death")) == 1, "the end")
    assert log.lines == []


def test_counts_of_the_state_are_right_after_a_restart(short_path: Path) -> None:
    from glass_edge.events.drafts import DraftMaker
    from glass_edge.fabric.defect import DefectPhase
    from glass_edge.fabric.roll import Roll

    maker_roll = Roll(roll_id="R-1", style="twill", first_line=0)
    with Mosquitto(short_path) as broker, Publisher(ipc_settings(short_path), "loom1") as publisher:
        settings = mqtt_settings(short_path, broker.url)
        from adapters_support import SCALE

        maker = DraftMaker(maker_roll, SCALE, is_simulated=True)
        publisher.emit_all([maker.roll_start(), maker.defect(defect(maker_roll, 1, DefectPhase.NEW))])
        with mqtt_adapter(settings):
            eventually(lambda: offset_seq(short_path) == 2, "the first")
        publisher.emit(maker.defect(defect(maker_roll, 2, DefectPhase.NEW)))
        with mqtt_adapter(settings):
            eventually(lambda: offset_seq(short_path) == 3, "the next")
            eventually(
                lambda: retained(broker.port, f"{BASE}/state")[0]["payload"]["view"]["roll"]["defects"] == 2,
                "both defects",
            )
