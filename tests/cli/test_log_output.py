"""Log lines as a person, a collector and the system's journal read them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from glass_edge.cli import log_output
from glass_edge.errors import InputError

SAY = """
import logging, structlog
from glass_edge.cli.log_output import log_to_stderr
log_to_stderr()
structlog.contextvars.bind_contextvars(station="loom-1")
structlog.get_logger().warning("the cable", port=3)
structlog.get_logger().debug("not shown")
logging.getLogger("library").error("says %d", 7)
print("result")
"""


def _said(environment: dict[str, str], stderr: int = subprocess.PIPE) -> tuple[list[str], str]:
    environment = {key: value for key, value in os.environ.items() if key != "JOURNAL_STREAM"} | environment
    done = subprocess.run(
        [sys.executable, "-c", SAY], stdout=subprocess.PIPE, stderr=stderr, env=environment, text=True, check=True
    )
    return (done.stderr or "").splitlines(), done.stdout


def test_a_collector_reads_json_objects() -> None:
    lines, result = _said({"GLASS_EDGE_LOG": "json"})
    assert result == "result\n"
    ours, library = (json.loads(line) for line in lines)
    assert ours.pop("stamp_utc").endswith("Z")
    assert ours == {"message": "the cable", "level": "warning", "station": "loom-1", "port": 3}
    assert (library["message"], library["level"], library["station"]) == ("says 7", "error", "loom-1")


def test_a_person_reads_plain_lines() -> None:
    lines, _ = _said({})
    assert len(lines) == 2
    assert all(word in lines[0] for word in ("warning", "the cable", "port=3"))
    assert "says 7" in lines[1]


def test_under_the_journal_each_line_has_its_priority(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w+") as stream:
        place = os.fstat(stream.fileno())
        _said({"JOURNAL_STREAM": f"{place.st_dev}:{place.st_ino}"}, stderr=stream.fileno())
        stream.seek(0)
        ours, library = stream.read().splitlines()
    assert ours.startswith("<4>{")
    assert library.startswith("<3>{")
    assert json.loads(library[3:])["message"] == "says 7"


def test_a_stream_of_another_process_is_not_the_journal() -> None:
    assert _said({"JOURNAL_STREAM": "1:2"})[0][0].startswith("20")


def test_another_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASS_EDGE_LOG", "xml")
    with pytest.raises(InputError, match="GLASS_EDGE_LOG = 'xml'; give json or plain"):
        log_output.is_json()
