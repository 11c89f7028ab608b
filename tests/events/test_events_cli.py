"""`glass-edge events` as a user runs it, in its own process where it follows a station."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from events_support import MAKER, ROLL, SCALE, defect, eventually, ipc_settings, numbered

from glass_edge.cli import events as events_cli
from glass_edge.cli import main
from glass_edge.engine.base import EngineFacts
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.payloads import StationState, StopAck
from glass_edge.events.publisher import Publisher
from glass_edge.events.requester import request_status
from glass_edge.events.schema import Draft, Kind
from glass_edge.fabric.defect import DefectPhase
from glass_edge.fabric.roll import RollTotals

Run = Callable[..., tuple[int, str, str]]

SCRIPT = """
import sys, typer
from glass_edge.cli import main, events
main.app = typer.Typer(pretty_exceptions_enable=False)
events.register(main.app)
main.app.callback()(lambda: None)
main.main(sys.argv[1:])
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", SCRIPT, "events", *arguments]


def piped(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def endpoints(folder: Path) -> tuple[str, ...]:
    return ("--endpoint", f"ipc://{folder}/pub", "--request", f"ipc://{folder}/req")


@pytest.fixture
def glass_edge(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    events_cli.register(app)
    monkeypatch.setattr(main, "app", app)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["events", *arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def a_roll() -> list[Draft]:
    facts = EngineFacts(runtime="OpenVINO", version="2025.1", device="CPU", precision="f32", threads=2)
    return [
        DraftMaker(None, SCALE, is_simulated=True).status(StationState.READY),
        MAKER.engine_activated(style="twill", version="3", model_sha256="a" * 64, facts=facts, threshold_logit=2.5),
        MAKER.roll_start(),
        MAKER.defect(defect(1)),
        MAKER.defect(defect(1, DefectPhase.END)),
        MAKER.coverage_gap(ROLL.first_line + 500, ROLL.first_line + 600, "bad_image", detail="strip\n7.png is torn"),
        MAKER.stop_request("s1", "hole"),
        Draft(
            kind=Kind.STOP_ACK, is_simulated=True, is_partial=True, roll_id="R-17", style="twill",
            payload=StopAck(request_id="s1", accepted=False, source="plc", detail="no weaver"),
        ),
        MAKER.roll_end(2000, RollTotals(1000, 900, 100, 1)),
    ]  # fmt: skip


def test_a_replayed_roll_reads_well(short_path: Path, glass_edge: Run) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        sent = publisher.emit_all(a_roll())
        code, out, err = glass_edge("replay", "--request", publisher.request_endpoint)
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert len(lines) == len(sent)
        assert "#4 [R-17] defect.new (simulated): defect 1 point at 0.000 m along, 6.1 mm across" in lines[3]
        assert "0.020 m at 0.100 m not inspected, bad_image (strip\\n7.png is torn)" in lines[5]
        assert "request s1 refused by plc (no weaver)" in lines[7]
        assert "0.200 m woven, 0.180 m inspected, 0.020 m missed, 1 defects" in lines[8]

        code, out, _ = glass_edge(
            "replay", "--request", publisher.request_endpoint, "--from", "3", "--limit", "2", "--json"
        )
        assert code == 0
        assert out.splitlines() == [event.to_json() for event in sent[2:4]]

        code, _, err = glass_edge("replay", "--request", publisher.request_endpoint, "--from", "11")
        assert (code, err) == (2, "error: event 11 is not there yet; the newest is 9: give a number up to that\n")
        publisher.journal.forget_before(5)
        code, out, err = glass_edge("replay", "--request", publisher.request_endpoint, "--from", "3", "--json")
        assert code == 1
        assert "events 3 to 4 of epoch" in err
        assert [json.loads(line)["seq"] for line in out.splitlines()] == [5, 6, 7, 8, 9]
        code, out, _ = glass_edge("replay", "--request", publisher.request_endpoint, "--json")
        assert (code, len(out.splitlines())) == (0, 5)


def test_a_long_journal_is_replayed_in_pages(short_path: Path, glass_edge: Run) -> None:
    with Publisher(ipc_settings(short_path, replay_limit=7), "loom1") as publisher:
        publisher.emit_all([numbered(number) for number in range(100)])
        _, out, _ = glass_edge("replay", "--request", publisher.request_endpoint, "--json")
    assert [json.loads(line)["seq"] for line in out.splitlines()] == list(range(1, 101))


def test_what_tail_wrote_equals_the_journal(short_path: Path, glass_edge: Run) -> None:
    settings = ipc_settings(short_path)
    received = short_path / "received.jsonl"
    with Publisher(settings, "loom1") as publisher:
        publisher.emit_all(a_roll())
        with received.open("w") as stream:
            process = subprocess.Popen(
                command("tail", *endpoints(short_path), "--json", "--from-start", "--limit", "59"), stdout=stream
            )
            for number in range(50):
                publisher.emit(numbered(number))
            assert process.wait(timeout=60) == 0
        code, out, err = glass_edge("verify", str(settings.journal), "--against", str(received))
    assert (code, err) == (0, "")
    assert "59 events, 1 to 59" in out
    assert "the journal is gapless and every event is sound" in out
    assert "what the subscriber received is equal to the journal" in out

    lines = received.read_text().splitlines(keepends=True)
    received.write_text("".join(lines[:30] + lines[31:]))
    code, out, err = glass_edge("verify", str(settings.journal), "--against", str(received), "--json")
    report = json.loads(out)
    assert code == 1
    assert "1 problem found" in err
    assert report["is_whole"] is True
    assert report["against"]["is_equal"] is False
    assert "seq 31 to 31 were not received" in report["against"]["problems"][0]
    code, out, _ = glass_edge("verify", str(settings.journal), "--against", str(received))
    assert "NOT equal" in out
    assert "seq 31 to 31" in out


def test_tail_goes_on_where_it_ended(short_path: Path, glass_edge: Run) -> None:
    offset = ("--offset-file", str(short_path / "offset.json"))
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([numbered(number) for number in range(10)])
        options = (*endpoints(short_path), "--json", *offset)
        _, out, _ = glass_edge("tail", *options, "--from-start", "--limit", "4")
        assert [json.loads(line)["seq"] for line in out.splitlines()] == [1, 2, 3, 4]
        code, out, _ = glass_edge("tail", *options, "--seconds", "1")
        assert code == 0
        assert [json.loads(line)["seq"] for line in out.splitlines()] == [5, 6, 7, 8, 9, 10]
        publisher.emit(numbered(11))
        publisher.journal.forget_before(11)
        publisher.emit(numbered(12))
        (short_path / "offset.json").write_text(
            (short_path / "offset.json").read_text().replace('"seq": 10', '"seq": 5')
        )
        code, out, err = glass_edge("tail", *options, "--limit", "2")
        assert code == 1
        assert "events 6 to 10 of epoch" in err
        assert [json.loads(line)["seq"] for line in out.splitlines()] == [11, 12]


def test_tail_follows_a_new_journal_and_says_so(short_path: Path) -> None:
    settings = ipc_settings(short_path)
    process = None
    try:
        with Publisher(settings, "loom1") as publisher:
            process = piped("tail", *endpoints(short_path), "--from-start", "--limit", "2")
            publisher.emit(numbered(1))
            assert process.stdout is not None
            assert "#1 " in process.stdout.readline()
        settings.journal.unlink()
        with Publisher(settings, "loom1") as publisher:
            publisher.emit(numbered(2))
            epoch = publisher.epoch
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "#1 " in out
        assert f"the station started a new journal: epoch {epoch}" in err
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()


def test_tail_into_a_closed_pipe_ends_quietly(short_path: Path) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([numbered(number) for number in range(3000)])
        process = subprocess.Popen(
            command("tail", *endpoints(short_path), "--from-start"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == ""
        process.stderr.close()


def test_tail_that_is_interrupted_ends_with_130(short_path: Path) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        process = subprocess.Popen(
            command("tail", *endpoints(short_path), "--from-start"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        publisher.emit(numbered(1))
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in err
        eventually(lambda: request_status(publisher.request_endpoint).head == 1, "the station goes on")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("tail", "--endpoint", "tcp://10.1.1.1:5561"), 2, "unencrypted"),
        (("tail", "--request", "tcp://127.0.0.1:*"), 2, "names no port"),
        (("tail", "--endpoint", "ipc:///tmp/no-1", "--request", "ipc:///tmp/no-2", "--seconds", "0.3"), 1, "not heard"),
        (("replay", "--request", "ipc:///tmp/nobody-is-here", "--timeout", "0.1"), 1, "is the station running"),
        (("verify", "/nowhere/journal"), 2, "no such journal"),
        (("verify", "/etc/passwd"), 2, "is not an event journal"),
    ],
)
def test_bad_input_is_named(glass_edge: Run, arguments: tuple[str, ...], code: int, message: str) -> None:
    found, out, err = glass_edge(*arguments)
    assert (found, out) == (code, "")
    assert message in err


@pytest.mark.parametrize("arguments", [("tail", "--limit", "0"), ("replay", "--from", "0"), ("verify",), ("nonsense",)])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    events_cli.register(app)
    with pytest.raises(SystemExit) as caught:
        app(["events", *arguments])
    assert caught.value.code == 2
    assert "Usage" in capsys.readouterr().err


def test_an_offset_file_that_is_none_is_named(short_path: Path, glass_edge: Run) -> None:
    path = short_path / "offset.json"
    path.write_text("nonsense")
    code, _, err = glass_edge("tail", *endpoints(short_path), "--offset-file", str(path), "--seconds", "1")
    assert (code, path.read_text()) == (2, "nonsense")
    assert "offset.json: is not an offset file" in err
