"""`glass-edge bundle revoke`, and a station that was handed the file."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from station_processes import engines_told, running, station_file
from station_support import make_bundle

from glass_edge.engine.manifest import MANIFEST_NAME

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def station(tmp_path: Path, sockets: Path) -> Path:
    """A station with plain 1 and 2 that begins with 1, and is to look into `revoked.txt`."""
    for version in "12":
        make_bundle(tmp_path / "engines", version=version)
    path = station_file(tmp_path, sockets, 'plain = "engines/plain"')
    path.write_text(path.read_text().replace("[engine]\n", '[engine]\nrevoked = "revoked.txt"\n'))
    (tmp_path / "revoked.txt").write_text("")
    return path


def _revoke(run: Run, folder: Path, version: str) -> tuple[int, str, str]:
    bundle = folder / "engines" / "plain" / version
    return run("bundle", "revoke", bundle, "--list", folder / "revoked.txt", "--reason", "misses holes")


def test_a_running_station_refuses_what_was_revoked_and_goes_on(station: Path, tmp_path: Path, run: Run) -> None:
    with running(station, signal.SIGTERM):
        code, out, err = _revoke(run, tmp_path, "2")
        assert (code, err) == (0, "")
        assert "plain 2 is revoked (" in out
        code, out, err = run("engine", "activate", "plain", "2", "--config", station)
        assert (code, out) == (1, "")  # the station's answer
        assert "plain 2 is revoked in" in err
        assert "misses holes" in err
        two, one = json.loads(run("engine", "list", "--config", station, "--json")[1])["styles"]["plain"]
        assert (two["is_trusted"], one["is_trusted"], one["distrust"]) == (False, True, None)
        assert "misses holes" in two["distrust"]
        assert "decides" in one["roles"]
        assert "refused    " in run("engine", "list", "--config", station)[1]
    assert engines_told(tmp_path) == [("plain", "1")]


def test_what_was_revoked_is_not_begun_with(station: Path, tmp_path: Path, run: Run) -> None:
    assert run("config", "check", station)[0] == 0
    _revoke(run, tmp_path, "1")
    for command in (("run", "--config", station), ("config", "check", station)):
        code, _, err = run(*command)
        assert (code, "plain 1 is revoked in" in err) == (2, True), command
    assert run("doctor", "--config", station)[0] == 1
    assert not (tmp_path / "journal").exists()
    (tmp_path / "revoked.txt").unlink()
    code, _, err = run("config", "check", station)
    assert (code, "revoked.txt: no such file" in err) == (2, True)


def test_a_second_time_changes_nothing_and_a_mistake_writes_nothing(station: Path, tmp_path: Path, run: Run) -> None:
    assert _revoke(run, tmp_path, "2")[0] == 0
    before = (tmp_path / "revoked.txt").read_bytes()
    code, out, _ = _revoke(run, tmp_path, "2")
    assert (code, "was revoked already; nothing changed" in out) == (0, True)
    (tmp_path / "engines" / "plain" / "1" / MANIFEST_NAME).write_text("{}")
    assert _revoke(run, tmp_path, "1")[0] == 2
    listed = ("--list", tmp_path / "revoked.txt", "--reason", "x")
    assert "give a BUNDLE or --key" in run("bundle", "revoke", *listed)[2]
    assert run("bundle", "revoke", "--key", tmp_path / "absent.pem", *listed)[0] == 2
    assert (tmp_path / "revoked.txt").read_bytes() == before


def test_a_revoked_key_is_no_trusted_one(tmp_path: Path, run: Run) -> None:
    bundle = make_bundle(tmp_path / "engines").folder
    run("bundle", "keygen", tmp_path / "mill")
    run("bundle", "sign", bundle, "--key", tmp_path / "mill.pem", "--signer", "Ada")
    public, listed = tmp_path / "mill.pub.pem", tmp_path / "revoked.txt"
    verify = ("bundle", "verify", bundle, "--files-only", "--require-signature", "--trusted", public)
    assert run("bundle", "revoke", "--key", public, "--list", listed, "--reason", "laptop stolen")[0] == 0
    assert run(*verify)[0] == 0
    code, _, err = run(*verify, "--revoked", listed)
    assert code == 2
    assert "signed with a key that is revoked in" in err
    assert "laptop stolen" in err
