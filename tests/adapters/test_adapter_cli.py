"""The commands as a person runs them."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from adapters_support import eventually, idle_draft, ipc_settings, offset_seq, roll_drafts

from glass_edge.adapters.status_file import AdapterState, AdapterStatus, LastError
from glass_edge.cli.main import run
from glass_edge.events.publisher import Publisher

COMMON = """
adapter = "test"
source = {{ publish_endpoint = "ipc://{folder}/pub", request_endpoint = "ipc://{folder}/req" }}
state = {{ folder = "state" }}
"""


def files_adapter(folder: Path) -> Path:
    path = folder / "files.toml"
    path.write_text(COMMON.format(folder=folder) + '[files]\nfolder = "out"\n')
    return path


def write_status(path: Path, *, age_s: float = 0.0, **fields: Any) -> None:  # noqa: ANN401 - fields of the model
    stamp = datetime.now(UTC) - timedelta(seconds=age_s)
    status = AdapterStatus.model_validate({"adapter": "test", "pid": 1, "written_utc": stamp} | fields)
    path.write_text(status.model_dump_json())


def test_a_dry_run_tells_all_and_does_nothing(short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = files_adapter(short_path)
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([idle_draft(), *roll_drafts("R-1", 1)])
        before = sorted(short_path.iterdir())
        assert run(["adapter", "files", "--config", str(config), "--dry-run"]) == 0
        assert sorted(short_path.iterdir()) == before
    told, noted = capsys.readouterr()
    assert told.splitlines()[0] == "#1 status: of no roll, not kept"
    assert told.splitlines()[-1] == "#7 roll.end: would write R-1-defects.csv and R-1.json"
    assert noted == "7 events wait; nothing was done\n"


def test_a_dry_run_begins_where_the_adapter_ended(short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = files_adapter(short_path)
    command = [sys.executable, "-m", "glass_edge.cli", "adapter", "files", "--config", str(config)]
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all(roll_drafts("R-1", 1))
        environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
        process = subprocess.Popen(command, env=environment)
        eventually(lambda: offset_seq(short_path) == 6, "the adapter's work")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        offset = (short_path / "state/offset.json").read_bytes()
        publisher.emit_all(roll_drafts("R-2", 0))
        assert run(["adapter", "files", "--config", str(config), "--dry-run"]) == 0
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["#7", "#8", "#9"]
        assert (short_path / "state/offset.json").read_bytes() == offset
    assert [path.name for path in sorted((short_path / "out").glob("*.*"))] == [".part", "R-1-defects.csv", "R-1.json"]
    assert run(["adapter", "status", str(short_path / "state/status.json")]) == 0
    assert "test: stopped, station loom1, event 6 delivered" in capsys.readouterr().out


def test_a_webhook_without_its_secret_is_refused(short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = short_path / "hook.toml"
    path.write_text(COMMON.format(folder=short_path) + '[webhook]\nurl = "https://mes/"\nsecret_file = "secret"\n')
    assert run(["adapter", "webhook", "--config", str(path)]) == 2
    assert "secret: no such file; make one" in capsys.readouterr().err
    (short_path / "secret").write_text("whsec_" + base64.b64encode(bytes(32)).decode())
    (short_path / "secret").chmod(0o644)
    assert run(["adapter", "webhook", "--config", str(path)]) == 2
    assert "chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("state", "age_s", "code"),
    [
        (AdapterState.FOLLOWING, 1, 0),
        (AdapterState.WAITING, 1, 0),
        (AdapterState.STOPPED, 1e6, 0),
        (AdapterState.RETRYING, 1, 1),
        (AdapterState.FAILED, 1e6, 1),
        (AdapterState.FOLLOWING, 1e6, 1),
    ],
)
def test_the_exit_code_of_status_says_whether_a_person_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: AdapterState, age_s: float, code: int
) -> None:
    path = tmp_path / "status.json"
    error = LastError(stamp_utc=datetime.now(UTC), text="the server is away; start it")
    write_status(path, age_s=age_s, state=state, last_error=error)
    assert run(["adapter", "status", str(path)]) == code
    told = capsys.readouterr().out
    assert f"test: {state}" in told
    assert "the server is away; start it" in told
    assert ("was killed or hangs" in told) == (state is AdapterState.FOLLOWING and code == 1)
    assert run(["adapter", "status", str(path), "--json"]) == code
    assert json.loads(capsys.readouterr().out)["state"] == state


@pytest.mark.parametrize("text", [None, "", "[]", '{"state": "dancing"}'])
def test_what_is_no_state_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None) -> None:
    path = tmp_path / "status.json"
    if text is not None:
        path.write_text(text)
    assert run(["adapter", "status", str(path)]) == 2
    assert "give status.json in" in capsys.readouterr().err
