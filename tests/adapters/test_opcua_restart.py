"""The OPC UA adapter as a process: killed among rolls, and started with what is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from adapters_support import eventually, ipc_settings, offset_seq, roll_drafts
from asyncua import ua
from opcua_support import activated, connected, foreign, is_listening, lines_of, prepare, quality, status, until

from glass_edge.cli.main import run
from glass_edge.config.adapter_opcua import OpcuaAdapterSettings
from glass_edge.events.payloads import StationState
from glass_edge.events.publisher import Publisher


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
