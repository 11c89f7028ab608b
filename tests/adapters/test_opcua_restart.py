"""The OPC UA adapter as a process: killed, silent, without its port, among clients that stand still."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from adapters_support import eventually, ipc_settings, offset_seq, roll_drafts
from asyncua import Client, ua
from opcua_support import OWN, Heard, Mill, activated, connected, prepare, status, until

from glass_edge.adapters import runner
from glass_edge.cli.main import run
from glass_edge.config.adapter_opcua import OpcuaAdapterSettings
from glass_edge.events.payloads import StationState
from glass_edge.events.publisher import Publisher

# a client in a process of its own, with nothing but what the server tells it: what it is told goes to standard output
FOREIGN = """
import asyncio, json, sys
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

folder, url = sys.argv[1:]

class Heard:
    def event_notification(self, event):
        print(json.dumps({"event": event.Message.Text}), flush=True)

async def main():
    client = Client(url, timeout=30)
    client.application_uri = "urn:mill:plc"
    await client.set_security(SecurityPolicyBasic256Sha256, folder + "/client.der", folder + "/client-key.pem")
    client.set_user("observer")
    client.set_password("correct horse")
    async with client:
        await client.load_data_type_definitions()
        for node in await client.get_node("ns=3;s=VisionSystem.ResultManagement.Results").get_children():
            result = await node.read_value()
            told = {"roll": result.JobId.Id, "hash": result.ExternalRecipeId.Hash.hex(), "state": result.ResultState}
            told["type"] = type(result.ExternalRecipeId).__name__
            told["content"] = json.loads(result.ResultContent[0].Value)["roll_id"]
            print(json.dumps(told), flush=True)
        subscription = await client.create_subscription(50, Heard())
        kind = client.get_node("ns=3;s=DefectEventType")
        await subscription.subscribe_events(client.get_node("ns=3;s=VisionSystem"), kind, queuesize=100)
        print(json.dumps("listening"), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def settings(short_path: Path) -> OpcuaAdapterSettings:
    return prepare(short_path)


@contextmanager
def adapter(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "glass_edge.cli", "adapter", "opcua", "--config", str(folder / "opcua.toml")]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@contextmanager
def foreign(folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", FOREIGN, str(folder), url], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def lines_of(process: subprocess.Popen[str]) -> Iterator[Any]:
    assert process.stdout is not None
    return (json.loads(line) for line in process.stdout)


def is_listening(settings: OpcuaAdapterSettings) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((settings.opcua.host, settings.opcua.port)) == 0


async def quality(client: Client, path: str) -> tuple[Any, str]:
    value = await client.get_node(ua.NodeId(f"VisionSystem.{path}", OWN)).read_data_value(raise_on_bad_status=False)
    return value.Value.Value, value.StatusCode.name


def test_after_a_kill_the_last_state_is_shown_at_once_and_the_results_are_there(
    short_path: Path, settings: OpcuaAdapterSettings
) -> None:
    url = settings.opcua.endpoint
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        rolls = [*roll_drafts("R-1", 2), *roll_drafts("R-2", 1, first_line=200)]
        open_roll = roll_drafts("R-3", 2, first_line=400)
        events = publisher.emit_all(
            [activated("twill", "1"), status(StationState.CONTINUOUS_EXECUTION), *rolls, *open_roll[:4]]
        )
        with adapter(short_path) as process:
            eventually(lambda: offset_seq(short_path) == len(events), "all shown")
            process.send_signal(signal.SIGKILL)
            process.wait()
    # the station is gone too; then it comes back and ends the roll
    with adapter(short_path):
        eventually(lambda: is_listening(settings), "the server")

        async def look() -> None:
            async with connected(short_path, url, "observer") as client:
                uncertain = "UncertainNoCommunicationLastUsableValue"
                assert await quality(client, "Station.Roll.RollId") == ("R-3", uncertain)
                assert await quality(client, "Station.Roll.Defects") == (1, uncertain)
                assert await quality(client, "Station.IsCurrent") == (False, "Good")
                state, code = await quality(client, "VisionStateMachine.AutomaticModeStateMachine.CurrentState")
                assert (state.Text, code) == ("ContinuousExecution", uncertain)
                assert await client.get_node(ua.ObjectIds.Server_ServiceLevel).read_value() < 200
                with Publisher(ipc_settings(short_path), "loom1") as publisher:
                    publisher.emit_all(open_roll[4:])

                    async def is_heard() -> bool:
                        return await quality(client, "Station.Roll.IsOpen") == (False, "Good")

                    await until(is_heard, "the end of the roll")
                    assert await quality(client, "Station.Roll.Defects") == (2, "Good")

        asyncio.run(look())
        with foreign(short_path, url) as other:
            told = lines_of(other)
            results = [next(told) for _ in range(3)]
        assert results == [
            {
                "roll": roll,
                "hash": "ab" * 32,
                "state": 1,
                "type": "RecipeIdExternalDataType",
                "content": roll,
            }
            for roll in ("R-1", "R-2", "R-3")
        ]
    content = json.loads(sorted((short_path / "state/results").glob("result-*.json"))[-1].read_text())["content"]
    assert content["is_complete"]
    assert [defect["defect_id"] for defect in content["defects"]] == [1, 2]


def test_a_client_that_stands_still_delays_neither_the_station_nor_the_others(
    short_path: Path, settings: OpcuaAdapterSettings
) -> None:
    with Mill(short_path, settings) as mill, foreign(short_path, mill.url) as stopped:
        assert "listening" in lines_of(stopped)
        stopped.send_signal(signal.SIGSTOP)
        latencies: list[float] = []

        async def follow() -> None:
            async with mill.client() as client:
                heard = Heard()
                subscription = await client.create_subscription(50, heard)
                kind = client.get_node(ua.NodeId("DefectEventType", OWN))
                await subscription.subscribe_events(client.get_node(ua.NodeId("VisionSystem", OWN)), kind)
                for number in range(6):
                    begun_s = time.monotonic()
                    mill.publisher.emit_all(roll_drafts(f"R-{number}", 10, first_line=200 * number))
                    wanted = 20 * (number + 1)
                    await until(lambda wanted=wanted: len(heard.events) >= wanted, "the defects of a roll")
                    latencies.append(time.monotonic() - begun_s)
                assert len(heard.events) == 120

        asyncio.run(follow())
        eventually(lambda: offset_seq(short_path) == mill.head(), "all delivered")
        assert sorted(latencies)[len(latencies) // 2] < 2.0
        stopped.send_signal(signal.SIGCONT)
        told = lines_of(stopped)  # what its queue held: the newest
        assert any("point 10" in line["event"] for line in told)


def test_a_station_that_falls_silent_is_marked_and_comes_back(
    short_path: Path, settings: OpcuaAdapterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SILENCE_S", 0.5)
    with Mill(short_path, settings) as mill:

        async def watch() -> None:
            async with mill.client() as client:
                assert (await quality(client, "Station.Name"))[1] == "BadWaitingForInitialData"
                [event] = mill.publisher.emit_all([status(StationState.READY, web_m_per_min=12.5)])
                heard = Heard()
                subscription = await client.create_subscription(50, heard)
                speed = client.get_node(ua.NodeId("VisionSystem.Station.SpeedMetresPerMinute", OWN))
                await subscription.subscribe_data_change(speed)

                def told() -> list[tuple[Any, str]]:
                    values = heard.values.get("VisionSystem.Station.SpeedMetresPerMinute", [])
                    return [(value.Value.Value, value.StatusCode.name) for value in values]

                await until(lambda: told()[-1:] == [(12.5, "Good")], "the speed")
                mill.publisher.close()
                await until(lambda: told()[-1] == (12.5, "UncertainNoCommunicationLastUsableValue"), "the silence")
                assert await quality(client, "Station.IsCurrent") == (False, "Good")
                assert heard.values["VisionSystem.Station.SpeedMetresPerMinute"][-1].SourceTimestamp == event.stamp_utc
                assert await quality(client, "Station.ClothWidthMillimetres") == (None, "BadNoDataAvailable")
                mill.publisher = Publisher(ipc_settings(short_path), "loom1", mill.loom)
                mill.publisher.start()
                await until(lambda: told()[-1] == (12.5, "Good"), "the station, again")
                assert await client.get_node(ua.ObjectIds.Server_ServiceLevel).read_value() == 255

        asyncio.run(watch())


def test_a_port_that_is_taken_is_told_and_taken_once_it_is_free(
    short_path: Path, settings: OpcuaAdapterSettings
) -> None:
    with socket.socket() as other:
        other.bind((settings.opcua.host, settings.opcua.port))
        other.listen()
        with Mill(short_path, settings) as mill:
            mill.publisher.emit(status(StationState.READY))
            eventually(lambda: mill.status()["state"] == "retrying", "the trouble")
            assert "end what uses the port" in mill.status()["last_error"]["text"]
            eventually(lambda: offset_seq(short_path) == 1, "the event, which waits for no port")
            other.close()
            eventually(lambda: mill.status()["state"] == "following", "the end of the trouble")
            assert is_listening(settings)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda folder: (folder / "server-key.pem").chmod(0o644), "others may read it; chmod 600"),
        (lambda folder: (folder / "server-key.pem").write_text("x"), "is no private key"),
        (lambda folder: (folder / "server-key.pem").unlink(), "--make-certificate"),
        (lambda folder: (folder / "server.der").write_text("x"), "is no certificate in DER or PEM"),
        (
            lambda folder: (folder / "server.der").write_bytes((folder / "client.der").read_bytes()),
            "does not belong to",
        ),
        (lambda folder: (folder / "users.json").unlink(), "--add-user NAME --role ROLE"),
        (lambda folder: (folder / "users.json").chmod(0o640), "others may read it; chmod 600"),
        (lambda folder: (folder / "users.json").write_text("{"), "is no file of users"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    short_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
    complaint: str,
) -> None:
    prepare(short_path)
    change(short_path)
    assert run(["adapter", "opcua", "--config", str(short_path / "opcua.toml")]) == 2
    assert complaint in capsys.readouterr().err
