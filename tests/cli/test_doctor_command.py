"""`glass-edge doctor` on the samples, and on stations that cannot work."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from glass_edge.adapters.status_file import AdapterState, AdapterStatus
from glass_edge.cli.main import run

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def test_the_sample_station_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--config", str(DEPLOY / "replay-station.toml"), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"processor", "clock", "engine", "camera", "journal", "pictures", "sockets"} <= {f["part"] for f in findings}
    assert all(f["remedy"] for f in findings if f["verdict"] != "good")


def test_a_station_that_cannot_work_is_told_with_remedies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (DEPLOY / "replay-station.toml").read_text()
    text = text.replace("../engines/demo-greige", "no-engine").replace("../engines/demo/samples", "no-samples")
    text = text.replace("../runs/", f"{tmp_path}/")
    (tmp_path / "station.toml").write_text(text)
    assert run(["doctor", "--config", str(tmp_path / "station.toml")]) == 1
    out = capsys.readouterr().out
    bad = [line for line in out.splitlines() if line.startswith("bad")]
    assert [line.split()[1] for line in bad] == ["engine", "camera"]
    assert out.count("->") >= 2
    assert "journal    " in out


def test_the_box_alone_can_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    assert "processor" in capsys.readouterr().out


def test_adapters_are_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + "A" * 44)
    secret.chmod(0o600)
    hook = tmp_path / "hook.toml"
    hook.write_text(
        'adapter = "hook"\nstate = { folder = "state" }\nwebhook = { url = "https://mes/x", secret_file = "secret" }\n'
    )
    assert run(["doctor", "--adapter", str(hook), "--json"]) == 0
    first, second = (one for one in json.loads(capsys.readouterr().out) if one["part"] == "adapter")
    assert first["text"].startswith("hook: webhook, follows ipc:")
    assert "1 secrets that others cannot read" in first["text"]
    assert (second["verdict"], "never ran" in second["text"]) == ("care", True)
    now = AdapterStatus(adapter="hook", pid=1, state=AdapterState.FOLLOWING, written_utc=datetime.now(UTC), delivered=7)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "status.json").write_text(now.model_dump_json())
    assert run(["doctor", "--adapter", str(hook)]) == 0
    assert "good  adapter    hook: following, 7 delivered" in capsys.readouterr().out
    old = now.model_copy(update={"written_utc": datetime.now(UTC) - timedelta(hours=1)})
    (tmp_path / "state" / "status.json").write_text(old.model_dump_json())
    secret.chmod(0o644)
    assert run(["doctor", "--adapter", str(hook)]) == 1
    assert f"chmod 600 {secret}" in capsys.readouterr().out
    secret.chmod(0o600)
    assert run(["doctor", "--adapter", str(hook)]) == 1
    assert "process 1 died or hangs" in capsys.readouterr().out
