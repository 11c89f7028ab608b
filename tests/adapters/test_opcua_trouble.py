"""The OPC UA adapter in trouble: clients that stand still, a station that is silent, a port that is taken."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from adapters_support import eventually, ipc_settings, offset_seq, roll_drafts
from asyncua import ua
from opcua_support import (
    OWN,
    Adapter,
    Heard,
    Mill,
    activated,
    connected,
    foreign,
    is_listening,
    lines_of,
    prepare,
    quality,
    status,
    stop_request,
    until,
)

from glass_edge.adapters import runner
from glass_edge.config.adapter_opcua import OpcuaAdapterSettings
from glass_edge.events.payloads import StationState, StopAck
from glass_edge.events.publisher import Publisher


@pytest.fixture
def settings(short_path: Path) -> OpcuaAdapterSettings:
    return prepare(short_path)


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


@pytest.mark.parametrize("start", ["oldest", pytest.param("latest", marks=pytest.mark.slow)])
def test_what_was_lost_is_made_up_for_by_the_snapshot(short_path: Path, start: str) -> None:
    settings = prepare(short_path)
    settings = settings.model_copy(update={"source": settings.source.model_copy(update={"start": start})})
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        before = publisher.emit_all([activated("twill", "1"), *roll_drafts("R-1", 1), stop_request("S-1")])
        if start == "oldest":
            with Adapter(short_path, settings):
                eventually(lambda: offset_seq(short_path) == len(before), "all shown")
            answer = StopAck(request_id="S-1", accepted=True, source="plc")
            ack = status(StationState.READY).model_copy(update={"kind": "stop.ack", "payload": answer})
            publisher.emit_all([ack, activated("denim", "7"), *roll_drafts("R-2", 0), status(StationState.READY)])
            publisher.journal.forget_before(publisher.emit(status(StationState.READY)).seq)
        with Adapter(short_path, settings):

            async def look() -> None:
                async with connected(short_path, settings.opcua.endpoint, "observer") as client:

                    async def is_current() -> bool:
                        return bool((await quality(client, "Station.IsCurrent"))[0])

                    await until(is_current, "the present")
                    wanted = ("denim/7", False) if start == "oldest" else ("twill/1", True)
                    assert await quality(client, "Station.ActiveRecipe") == (wanted[0], "Good")
                    assert await quality(client, "Station.Stop.IsPending") == (wanted[1], "Good")
                    recipes = await client.get_node(
                        ua.NodeId("VisionSystem.RecipeManagement.Recipes", OWN)
                    ).get_children()
                    assert recipes[-1].nodeid.Identifier.endswith(wanted[0])

            asyncio.run(look())
