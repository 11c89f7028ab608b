"""`glass-edge replay` as a user runs it, followed over the socket by another process."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from station_support import cloth, cut_off, glass_edge, journal_events, make_bundle, save, spotted

from glass_edge.config.events import EventSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.manifest import MODEL_NAME
from glass_edge.events.publisher import Publisher

Run = Callable[..., tuple[int, str, str]]


def _endpoints(sockets: Path, *names: str) -> list[str]:
    return [text for name, place in zip(names, "er", strict=True) for text in (name, f"ipc://{sockets}/{place}")]


def test_a_subscriber_in_another_process_receives_what_the_journal_holds(
    tmp_path: Path, sockets: Path, bundle: Bundle, run: Run
) -> None:
    strip = tmp_path / "strip"
    code, _, _ = run("simulate", strip, "--cloth", "plain", "--width-px", 300, "--lines", 3000, "--mm-per-px", 0.1,
                     "--defects", "hole:2@2x2,stain:1@3x3", "--contrast", 1.0, "--seed", 3)  # fmt: skip
    assert code == 0
    received = (tmp_path / "received.jsonl").open("w")
    tail = glass_edge("events", "tail", "--json", "--from-start", *_endpoints(sockets, "--endpoint", "--request"))
    out = tmp_path / "out"
    replay = glass_edge(
        "replay", strip / "strip.png", "--engine", bundle.folder, "--out", out, "--mm-per-px", 0.1, "--roll", "R-9",
        "--json", "--line-rate-hz", 3000, "--linger-s", 60, *_endpoints(sockets, "--publish", "--request"),
    )  # fmt: skip
    assert tail.stdout is not None
    for line in tail.stdout:
        received.write(line)
        event = json.loads(line)
        if event["kind"] == "roll.end":
            replay.send_signal(signal.SIGTERM)  # ends the lingering
        if event["kind"] == "status" and event["payload"]["state"] == "Halted":
            break
    received.close()
    tail.send_signal(signal.SIGINT)
    tail.wait(30)
    output, errors = replay.communicate(timeout=60)
    assert replay.returncode == 0, errors
    summary = json.loads(output)  # nothing else on standard output
    code, verdict, _ = run("events", "verify", out / "events.journal", "--against", tmp_path / "received.jsonl")
    assert code == 0
    assert "gapless" in verdict
    assert "equal to the journal" in verdict
    events = journal_events(out / "events.journal")
    end = next(event["payload"] for event in events if event["kind"] == "roll.end")
    assert end["lines_woven"] == summary["lines_woven"] == 3000
    assert end["lines_inspected"] + end["lines_missed"] == 3000
    assert all(event["is_simulated"] and event["roll_id"] in (None, "R-9") for event in events)
    assert summary["defects"] == len(summary["found"]) == sum(event["kind"] == "defect.end" for event in events)
    truth = json.loads((strip / "truth.json").read_text())["defects"]
    for true in truth:  # each defect that was woven in is where the events say
        assert any(
            abs(found["along_mm"] - true["along_mm"]) < 3 and abs(found["across_mm"] - true["across_mm"]) < 3
            for found in summary["found"]
        ), true


def test_a_person_sees_the_command_to_follow_each_defect_and_a_summary(
    tmp_path: Path, bundle: Bundle, run: Run
) -> None:
    save(tmp_path / "i" / "a.png", spotted(300, [(100, 50)]))
    save(tmp_path / "i" / "b.png", cloth(200))
    code, out, err = run("replay", tmp_path / "i", "--engine", bundle.folder, "--out", tmp_path / "o")
    assert (code, err) == (0, "")
    assert "glass-edge events tail --from-start --endpoint ipc:///" in out
    assert re.search(r"new    #1 +block +0\.050 m along +24\.0 mm across +8\.0 x \d\.0 mm  score 1\.000  a\.png", out)
    assert re.search(r"end    #1 +block +0\.050 m along +24\.0 mm across +8\.0 x 6\.0 mm  score 1\.000  a\.png", out)
    assert "0.250 m woven: 0.218 m inspected, 0.032 m not (segment_edge 0.032 m)" in out
    assert re.search(r"1 defect; \d+ tiles, [\d.]+ tiles/s", out)
    assert "latency: new" in out
    joined = run("replay", tmp_path / "i", "--engine", bundle.folder, "--out", tmp_path / "p", "--joined")[1]
    assert "0.234 m inspected, 0.016 m not" in joined


def test_damage_met_while_playing_is_exit_code_1_a_fault_event_and_a_gap(
    tmp_path: Path, bundle: Bundle, run: Run
) -> None:
    for number in range(3):
        save(tmp_path / "i" / f"{number}.png", cloth(100))
    cut_off(tmp_path / "i" / "1.png")
    code, out, err = run("replay", tmp_path / "i", "--engine", bundle.folder, "--out", tmp_path / "o")
    assert code == 1
    assert "1.png: damaged or cut off" in err
    assert "gap        0.050 m to 0.100 m not inspected: camera_gap" in out
    (fault,) = [
        e["payload"] for e in journal_events(tmp_path / "o" / "events.journal") if e["payload"].get("fault_code")
    ]
    assert "1.png" in fault["message"]


def test_sigterm_drains_and_accounts_for_every_line_taken_in(tmp_path: Path, bundle: Bundle) -> None:
    station = tmp_path / "s.toml"
    station.write_text(
        f'station = "loom1"\nbundle = "{bundle.folder}"\n[camera]\nkind = "replay"\npath = "none"\nblock_lines = 64\n'
        "[web]\nmm_per_px = 0.5\nmm_per_line = 0.5\nspan = { left_px = 0, right_px = 200 }\n"
        "[inspection]\nstop_drain_s = 0.0\n"
    )
    save(tmp_path / "i" / "long.png", cloth(60_000))
    out = tmp_path / "o"
    # paced: half-way there are always lines behind the last tile row that were taken in and are not scored yet
    replay = glass_edge("replay", tmp_path / "i", "--station", station, "--out", out, "--line-rate-hz", 3000)
    assert replay.stdout is not None
    for line in replay.stdout:
        if line.startswith("roll "):
            break
    time.sleep(1.0)
    replay.send_signal(signal.SIGTERM)
    _, errors = replay.communicate(timeout=60)
    assert replay.returncode == 130, errors
    events = journal_events(out / "events.journal")
    gaps = [event["payload"] for event in events if event["kind"] == "coverage.gap"]
    assert [gap["reason"] for gap in gaps] == ["segment_edge", "shutdown"]
    end = next(event["payload"] for event in events if event["kind"] == "roll.end")
    assert end["lines_missed"] == sum(gap["end_line"] - gap["first_line"] for gap in gaps)
    assert 0 < end["lines_woven"] < 60_000
    assert events[-1]["payload"]["state"] == "Halted"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "no images in this folder"),
        (lambda path: path.write_bytes(b""), r"1\.png: the file is empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:20]), r"1\.png: not a PNG"),
        (lambda path: save(path.with_name("2.png"), cloth(100, 190)), r"2\.png: 190 px wide, but 1\.png is 200"),
        (lambda path: save(path, cloth(100, 20)), "20 px are too narrow"),
        (lambda path: save(path, cloth(100, 33)), "nothing is left of cloth 33 px"),
        (lambda path: save(path, cloth(20)), "20 lines, and no image here has the 36"),
    ],
)
def test_images_that_cannot_be_played_are_refused_before_anything_is_written(
    tmp_path: Path, bundle: Bundle, run: Run, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(save(tmp_path / "i" / "1.png", cloth(100)))
    code, out, err = run("replay", tmp_path / "i", "--engine", bundle.folder, "--out", tmp_path / "o")
    assert (code, out) == (2, "")
    assert re.search(message, err)
    assert not (tmp_path / "o").exists()


def test_a_bundle_that_is_not_whole_or_does_not_fit_is_refused(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    save(tmp_path / "i" / "1.png", cloth(100))

    def refused(engine: Path, message: str) -> None:
        code, out, err = run("replay", tmp_path / "i", "--engine", engine, "--out", tmp_path / "o")
        assert (code, out) == (2, "")
        assert re.search(message, err), err

    refused(tmp_path / "absent", "absent: no such folder")
    changed = make_bundle(tmp_path / "changed")
    model = changed.folder / MODEL_NAME
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    refused(changed.folder, r"model\.onnx: SHA-256 is .* the manifest says .* rebuild it")
    unknown = make_bundle(tmp_path / "unknown", mm_per_px=None)
    refused(unknown.folder, "give --mm-per-px")
    assert not (tmp_path / "o").exists()
    code, out, err = run("replay", tmp_path / "i", "--out", tmp_path / "o")
    assert (code, out) == (2, "")
    assert "--engine is missing" in err


def test_an_engine_for_another_tile_size_is_refused_and_nothing_plays(tmp_path: Path, run: Run) -> None:
    save(tmp_path / "i" / "1.png", cloth(100))
    wrong = make_bundle(tmp_path, tile=(64, 96), model_tile=(96, 96))
    code, _, err = run("replay", tmp_path / "i", "--engine", wrong.folder, "--out", tmp_path / "o")
    assert code == 2
    assert re.search(r"the graph takes u8 .*96,96.*tile is u8 \[n,64,96,1\]; rebuild the bundle", err)
    events = journal_events(tmp_path / "o" / "events.journal")
    assert [event["payload"]["state"] for event in events] == ["Initialized", "Error"]
    assert "rebuild the bundle" in events[-1]["payload"]["message"]


def test_a_port_in_use_and_an_unwritable_journal_are_refused(
    tmp_path: Path, sockets: Path, bundle: Bundle, run: Run
) -> None:
    save(tmp_path / "i" / "1.png", cloth(100))
    taken = EventSettings(
        journal=tmp_path / "other", publish_endpoint="tcp://127.0.0.1:*", request_endpoint=f"ipc://{sockets}/r"
    )
    base = ["replay", tmp_path / "i", "--engine", bundle.folder]
    with Publisher(taken, "other") as other:
        code, out, err = run(*base, "--out", tmp_path / "o", "--publish", other.publish_endpoint)
        assert (code, out) == (2, "")
        assert re.search(r"tcp://127\.0\.0\.1:\d+: in use by another program; stop it or give another", err)
        code, out, err = run(*base, "--out", tmp_path / "o", "--request", other.request_endpoint)
        assert (code, out) == (2, "")
        assert "publishes here; stop it or give another endpoint" in err
    (tmp_path / "file").write_text("in the way")
    code, out, err = run(*base, "--out", tmp_path / "file")
    assert (code, out) == (2, "")
    assert f"cannot make the folder {tmp_path / 'file'}" in err
    (tmp_path / "taken" / "events.journal").mkdir(parents=True)
    code, out, err = run(*base, "--out", tmp_path / "taken")
    assert (code, out) == (2, "")
    assert "events.journal: is not a file" in err
    code, out, err = run(*base, "--publish", "tcp://10.0.0.1:5555")
    assert (code, out) == (2, "")
    assert "unencrypted" in err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--mm-per-px", 0, "--mm-per-px 0"),
        ("--mm-per-line", 11, "--mm-per-line 11"),
        ("--threshold", "nan", "finite"),
        ("--line-rate-hz", -1, "rate"),
        ("--station", "absent.toml", "absent.toml: no such file"),
    ],
)
def test_impossible_options_are_named(  # noqa: PLR0917 - fixtures and parameters
    tmp_path: Path, bundle: Bundle, run: Run, option: str, value: object, message: str
) -> None:
    save(tmp_path / "i" / "1.png", cloth(100))
    code, out, err = run("replay", tmp_path / "i", "--engine", bundle.folder, option, value, "--out", tmp_path / "o")
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "o").exists()


def test_options_win_over_the_station_and_that_over_the_bundle(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    save(tmp_path / "i" / "1.png", spotted(300, [(100, 50)]))
    station = tmp_path / "s.toml"
    station.write_text(
        f'station = "loom1"\nbundle = "{bundle.folder}"\n[camera]\nkind = "loom"\n'
        "[web]\nmm_per_px = 0.2\nmm_per_line = 0.3\nspan = { left_px = 10, right_px = 190 }\n"
        "[inspection]\nthreshold_logit = 100.0\n"
    )

    def summary(*options: object) -> dict[str, object]:
        code, out, err = run(
            "replay", tmp_path / "i", "--station", station, "--out", tmp_path / "o", "--json", *options
        )
        assert code == 0, err
        return dict(json.loads(out))

    plain = summary()
    assert (plain["station"], plain["defects"], plain["woven_m"]) == ("loom1", 0, pytest.approx(0.09))
    low = summary("--threshold", 0)
    assert low["defects"] == 1
    (found,) = low["found"]
    assert (found["across_mm"], found["along_mm"]) == (pytest.approx((48 - 10) * 0.2), pytest.approx(30))
    fine = summary("--threshold", 0, "--mm-per-line", 0.1)
    assert fine["woven_m"] == pytest.approx(0.03)
    both = summary("--threshold", 0, "--mm-per-px", 0.5)
    assert both["woven_m"] == pytest.approx(0.15)
