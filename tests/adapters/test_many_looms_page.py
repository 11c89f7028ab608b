"""What the page about many looms tells to run: the deletion of old rolls, and a bridge between two brokers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from adapters_support import eventually, ipc_settings, roll_drafts
from mosquitto_server import Mosquitto, Subscriber, needs_mosquitto, publish, retained, user_property

from glass_edge.events.publisher import Publisher

PAGE = (Path(__file__).resolve().parents[2] / "docs/how-to/many-looms.md").read_text(encoding="utf-8")


@needs_mosquitto
def test_a_bridge_carries_events_kept_messages_and_requests(short_path: Path) -> None:
    pytest.importorskip("aiomqtt")
    from mqtt_support import BASE, mqtt_adapter, mqtt_settings

    (block,) = re.findall(r"```bridge\n(.*?)```", PAGE, re.DOTALL)
    (short_path / "mill").mkdir()
    (short_path / "hall").mkdir()
    with Mosquitto(short_path / "mill") as mill:
        bridge = block.replace("broker.mill:8883", f"127.0.0.1:{mill.port}").replace("mill/weaving", "mill")
        lines = [line for line in bridge.splitlines() if "cafile" not in line]
        with (
            Mosquitto(short_path / "hall", *lines) as hall,
            Subscriber(mill.port, short_path / "got", "-t", f"{BASE}/#") as reader,
            Publisher(ipc_settings(short_path), "loom1") as publisher,
        ):
            eventually(lambda: "SUBACK to hall-1" in mill.log(), "the bridge")
            with mqtt_adapter(mqtt_settings(short_path, hall.url)):
                publisher.emit_all(roll_drafts("R-1", 1))
                eventually(lambda: reader.messages(f"{BASE}/roll/R-1/end") != [], "the events")
                (kept,) = retained(mill.port, f"{BASE}/roll/R-1/end")
                assert kept["properties"]["message-expiry-interval"] > 0
                assert user_property(kept, "historical") == "false"
                publish(mill.port, f"{BASE}/rebirth")
                eventually(lambda: len(reader.messages(f"{BASE}/birth")) == 2, "a rebirth")
            eventually(lambda: reader.messages(f"{BASE}/death") != [], "the end")


def test_old_rolls_go_whole_and_newer_ones_stay() -> None:
    pytest.importorskip("psycopg")
    pytest.importorskip("sqlalchemy")
    from postgres_server import BIN, PostgresServer
    from sql_support import defect_payload, document, received, sink_of

    if BIN is None:
        pytest.skip("needs PostgreSQL: install the package postgresql")
    old, new = "2020-01-01T06:00:00.000000Z", "2999-01-01T06:00:00.000000Z"
    start = {"first_line": 0, "mm_per_px": 0.1, "mm_per_line": 0.1, "left_px": None, "right_px": None}
    gap = {"first_line": 1, "end_line": 2, "along_mm": 0.0, "length_m": 0.1, "reason": "overrun", "detail": ""}
    lines = {"end_line": 9, "lines_woven": 9, "lines_inspected": 8, "lines_missed": 1}
    end = lines | {"woven_m": 1.0, "inspected_m": 0.9, "missed_m": 0.1, "defects": 1}
    status = {"state": "Ready", "fault_code": None, "message": None, "roll_m": 0.0, "roll_lines": 0}
    stop = {"request_id": "s", "reason": "hole", "defect_id": 1, "along_mm": 1.0}
    documents = []
    for roll, stamp in (("R-1", old), ("R-2", new)):
        kinds = [
            ("roll.start", start),
            ("defect.new", defect_payload(1)),
            ("coverage.gap", gap),
            ("stop.request", stop),
            ("defect.end", defect_payload(1)),
            ("roll.end", end),
        ]
        for kind, payload in kinds:
            documents.append(document(kind, payload, roll=roll, seq=len(documents) + 1, stamp_utc=stamp))
        documents.append(document("status", status, seq=len(documents) + 1, stamp_utc=stamp))
    tables = ("events", "rolls", "defects", "gaps", "stops")
    with PostgresServer() as server:
        url = server.make_database()
        with sink_of(url) as sink:
            sink.handle_many(received(documents))
        statements = re.findall(r"```sql retention\n(.*?)```", PAGE, re.DOTALL)
        assert len(statements) == 2

        def counts() -> list[int]:
            with server.connect(url) as connection:
                rows = [connection.execute(f"SELECT count(*) FROM glass_edge.{name}").fetchone() for name in tables]
            return [row[0] for row in rows if row is not None]

        assert counts() == [14, 2, 2, 2, 2]
        with server.connect(url) as connection:
            connection.execute("SET search_path TO glass_edge")
            for statement in statements:
                connection.execute(statement)
        assert counts() == [7, 1, 1, 1, 1]
        with server.connect(url) as connection:
            left = connection.execute("SELECT DISTINCT roll_id FROM glass_edge.events ORDER BY 1").fetchall()
        assert left == [("R-2",), (None,)]
