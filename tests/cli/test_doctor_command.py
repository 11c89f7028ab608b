"""`glass-edge doctor` on the samples, and on stations that cannot work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
