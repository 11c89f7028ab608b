"""`glass-edge adapter run`, as a service unit starts it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from notify_peer import NotifyPeer
from station_support import glass_edge

from glass_edge.cli.adapter_any import kind_of, kinds
from glass_edge.cli.main import app
from glass_edge.config.events import EventSettings
from glass_edge.events.publisher import Publisher

DEPLOY = Path(__file__).parents[2] / "deploy"
Run = Callable[..., tuple[int, str, str]]


def test_each_kind_has_a_command_and_each_command_a_kind() -> None:
    commands = typer.main.get_command(app).commands["adapter"].commands
    assert set(kinds()) == set(commands) - {"run", "status"}
    for name in kinds():
        assert {"config", "dry_run"} <= {parameter.name for parameter in commands[name].params}


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("adapter-*.toml")), ids=lambda path: path.stem)
def test_the_samples_say_their_kind(path: Path) -> None:
    assert kind_of(path) == path.stem.split("-")[1]


def test_a_file_of_no_kind_or_of_two_is_refused(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "adapter.toml"
    path.write_text('adapter = "x"\n')
    code, _, err = run("adapter", "run", "--config", path)
    assert code == 2
    assert "[files]" in err
    assert "the file has none of them" in err
    path.write_text('adapter = "x"\n[files]\nfolder = "a"\n[webhook]\nurl = "https://mes/"\n')
    code, _, err = run("adapter", "run", "--config", path)
    assert code == 2
    assert "the file has [files] and [webhook]" in err
    code, _, err = run("adapter", "run", "--config", tmp_path / "absent.toml")
    assert code == 2
    assert "absent.toml: no such file" in err


def test_an_adapter_tells_its_life(tmp_path: Path, sockets: Path) -> None:
    path = tmp_path / "mes.toml"
    path.write_text(
        'adapter = "mes"\n[state]\nfolder = "state"\n[files]\nfolder = "out"\n'
        f'[source]\npublish_endpoint = "ipc://{sockets}/e"\nrequest_endpoint = "ipc://{sockets}/r"\n'
    )
    events = EventSettings(
        journal=tmp_path / "journal", publish_endpoint=f"ipc://{sockets}/e", request_endpoint=f"ipc://{sockets}/r"
    )
    with NotifyPeer(tmp_path) as peer:
        environment = os.environ | {"NOTIFY_SOCKET": peer.address, "WATCHDOG_USEC": "180000000"}
        process = glass_edge("adapter", "run", "--config", path, env=environment)
        try:
            told = peer.listen_until(lambda message: "READY" in message, 60)
            assert told == [{"READY": "1", "STATUS": "waiting, station not heard yet, 0 refused"}]
            alone = peer.listen(3.5)
            assert sum("WATCHDOG" in message for message in alone) >= 2
            with Publisher(events, "loom1"):
                heard = peer.listen_until(lambda message: message.get("STATUS", "").startswith("following"), 20)
                assert heard[-1]["STATUS"] == "following, station loom1, 0 refused"
            process.send_signal(signal.SIGTERM)
            ended = peer.listen_until(lambda message: "STOPPING" in message, 30)
            err = process.communicate(timeout=30)[1]
        finally:
            process.kill()
    assert ended[-1]["STATUS"] == "stopped, station loom1, 0 refused"
    assert process.returncode == 0, err
