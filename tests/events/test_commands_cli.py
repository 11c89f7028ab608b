"""The shell's commands against a real station's sockets, with and without keys."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commands_support import Keys, Loom, commands_in, journal_of
from events_support import MAKER, eventually, ipc_settings
from typer.testing import CliRunner

from glass_edge.cli.main import app, run
from glass_edge.config.events import Role
from glass_edge.events.curve_keys import read_public
from glass_edge.events.publisher import Publisher
from glass_edge.events.requester import request_snapshot

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def of(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([*arguments])
        out = capsys.readouterr()
        return code, out.out.strip(), out.err.strip()

    return of


def test_over_ipc(short_path: Path, said: Said) -> None:
    loom = Loom()
    with Publisher(ipc_settings(short_path), "loom1", loom, loom.present_status) as publisher:
        at = ["--request", publisher.request_endpoint]
        assert said("roll", "change", "R-2", *at) == (0, "station loom1: roll R-2 begins at web line 4711", "")
        assert said("recipe", "change", "twill", "--version", "9", *at) == (0, "station loom1: prepares twill 9", "")
        code, out, err = said("recipe", "change", "satin", *at)
        assert (code, out) == (1, "")
        assert err.endswith("the station refused: no engine of style satin; there is twill")
        assert said("stop", "pending", *at) == (0, "no stop request waits", "")
        assert said("stop", "pending", "--json", *at)[1] == "null"
        publisher.emit(MAKER.stop_request("s1", "hole\nat 1 m"))
        eventually(lambda: request_snapshot(publisher.request_endpoint)[1].stop_request is not None, "it is published")
        assert said("bypass", "on", "--reason", "new beam", "--operator", "K. Weber", *at)[1] == (
            "station loom1: the bypass is on, no stops are asked for"
        )
        eventually(lambda: request_snapshot(publisher.request_endpoint)[1].is_bypassed, "it is published")
        assert said("stop", "pending", *at)[1] == "s1: hole\\nat 1 m (the bypass is on)"
        assert json.loads(said("stop", "pending", "--json", *at)[1])["request_id"] == "s1"
        assert "s1 does" in said("stop", "ack", "s2", *at)[2]
        assert said("stop", "ack", "s1", "--refuse", "--detail", "end of warp", *at) == (
            0,
            "station loom1: stop request s1 refused",
            "",
        )
        answer = json.loads(said("bypass", "off", "--json", *at)[1])
        assert answer == {"station": "loom1", "is_on": False}
        assert said("bypass", "maybe", *at)[0] == 2
        code, _, err = said("roll", "change", "x" * 129, *at)
        assert code == 2
        assert "roll_id: String should have at most 128 characters" in err
    kept = commands_in(journal_of(short_path / "journal.db"))
    assert {command.operator for command in kept if command.command != "bypass"} == {getpass.getuser()}
    assert [(command.operator, command.reason) for command in kept if command.command == "bypass"] == [
        ("K. Weber", "new beam"),
        (getpass.getuser(), ""),
    ]


def test_over_tcp_with_keys_by_role(short_path: Path, said: Said) -> None:
    keys, loom = Keys(short_path), Loom()
    keys.client("hmi", is_allowed=False)
    own = ["--server-key", str(keys.server_public), "--client-key", str(keys.folder / "keys" / "hmi.key_secret")]
    public, clients = str(keys.folder / "keys" / "hmi.key"), ["--clients", str(keys.clients)]
    assert said("keys", "allow", public, *clients)[1].endswith("hmi.key: may connect, as observer")
    with Publisher(keys.settings(), "loom1", loom) as publisher:
        at = ["--request", publisher.request_endpoint]
        code, _, err = said("roll", "change", "R-2", *at, *own)
        assert (code, loom.told) == (1, [])
        assert "client hmi is observer, and roll needs the role controller" in err
        assert said("stop", "pending", *at, *own) == (0, "no stop request waits", "")
        assert said("keys", "allow", public, "--role", "controller", *clients)[1].endswith("as controller")
        eventually(lambda: said("roll", "change", "R-2", *at, *own)[0] == 0, "the new role counts")
        assert said("roll", "change", "R-2", *at, *own[:2])[0] == 2
        assert said("roll", "change", "R-2", "--timeout", "0.5", *at)[0] == 1  # without keys
    listed = CliRunner().invoke(app, ["keys", "list", *clients]).output.split()
    key = read_public(Path(public)).decode()
    assert listed == ["hmi", key, "controller"]
    document = json.loads(CliRunner().invoke(app, ["keys", "list", "--json", *clients]).output)
    assert document == {"hmi": {"public_key": key, "role": Role.CONTROLLER}}
    assert said("keys", "allow", public, "--role", "admin", *clients)[0] == 2
