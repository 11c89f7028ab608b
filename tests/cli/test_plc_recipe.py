"""A controller asks for a style over Modbus: the adapter and a real station, each a process of its own."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from station_processes import engines_told, running, station_file, until
from station_support import glass_edge, journal_events, make_bundle

sys.path.insert(0, str(Path(__file__).parents[1] / "adapters"))

pytest.importorskip("pymodbus", reason="needs pymodbus, of the extra modbus")

from modbus_support import Wire, free_port

from glass_edge.adapters.modbus_codec import Coding
from glass_edge.adapters.modbus_codes import Reason, Result
from glass_edge.adapters.modbus_map import BY_NAME


def connect(port: int) -> Wire:
    found: list[Wire] = []

    def is_there() -> bool:
        try:
            found.append(Wire(port))
        except ConnectionError:
            return False
        return True

    until(is_there)
    return found[0]


def test_a_style_of_the_controller_becomes_an_engine_of_the_station(tmp_path: Path, sockets: Path) -> None:
    make_bundle(tmp_path / "engines")
    make_bundle(tmp_path / "engines", style="twill", version="2025.3")
    station = station_file(tmp_path, sockets, 'plain = "engines/plain"\ntwill = "engines/twill"')
    port, plc = free_port(), tmp_path / "plc.toml"
    plc.write_text(
        f'adapter = "plc"\n[source]\npublish_endpoint = "ipc://{sockets}/e"\nrequest_endpoint = "ipc://{sockets}/r"\n'
        f'[modbus]\nport = {port}\n[state]\nfolder = "state"\n'
    )
    with running(station, signal.SIGTERM):
        adapter = glass_edge("adapter", "modbus", "--config", plc)
        try:
            one = connect(port)
            until(lambda: "live" in one.flags() and one.value("engine_style") == "plain")
            one.write("new_style", "velvet")
            one.write("recipe_trigger", 1)
            until(lambda: one.value("recipe_done") == 1 and one.value("recipe_result") == Result.REFUSED)
            assert one.value("recipe_reason") == Reason.STATION_REFUSED
            assert "no style 'velvet' here; the station has 'plain', 'twill'" in str(one.value("recipe_message"))
            one.write("new_style", "twill")
            one.write("recipe_trigger", 2)
            until(lambda: one.value("recipe_done") == 2 and one.value("recipe_result") == Result.DONE)
            until(lambda: (tmp_path / "journal.engine.json").read_text().count('"twill"') > 0)  # it is being prepared
            assert one.value("engine_style") == "plain"  # it decides with the next roll
            sequence = 3

            def change_roll() -> bool:  # a roll that begins before it is ready is one more of the style before
                nonlocal sequence
                one.write_words(1020, [sequence, *Coding().encode(BY_NAME["new_roll_id"], f"R-{sequence}")])
                until(lambda: one.value("roll_done") == sequence and one.value("roll_result") == Result.DONE)
                until(lambda: one.value("roll_id") == f"R-{sequence}")
                sequence += 1
                return bool(one.value("engine_style") == "twill")

            until(change_roll)
            assert one.value("engine_version") == "2025.3"
            assert one.value("style") == "twill"
            one.close()
        finally:
            adapter.send_signal(signal.SIGTERM)
            adapter.communicate(timeout=60)
    assert engines_told(tmp_path) == [("plain", "1"), ("twill", "2025.3")]
    events = journal_events(tmp_path / "journal")
    assert [event["style"] for event in events if event["kind"] == "roll.start"][-1] == "twill"
    asked = [
        event["payload"] for event in events if event["kind"] == "command" and event["payload"]["command"] == "recipe"
    ]
    assert [(one["accepted"], one["style"], one["version"]) for one in asked] == [
        (False, "velvet", None),
        (True, "twill", "2025.3"),
    ]
