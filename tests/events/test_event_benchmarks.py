"""The benchmarks of events run and add up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def measured(script: str, *options: str) -> Any:  # noqa: ANN401 - a JSON document
    command = [sys.executable, str(BENCHMARKS / script), "--json", *options]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=200).stdout)


def test_what_the_journal_costs(short_path: Path) -> None:
    found = measured("events.py", "--seconds", "0.3", "--rounds", "1", "--folder", str(short_path))
    assert set(found["per_s"]) == {"emit", "emit_all of 20", "plain PUB"}
    assert found["per_s"]["emit"] > 0
    for p50_ms, p99_ms in (*found["latency"].values(), *found["greedy"].values()):
        assert 0 < p50_ms <= p99_ms
    # the time to the subscriber holds what emit takes: nobody hears before it is durable
    assert found["latency"]["journaled"][0] > found["latency"]["emit"][0] / 2
    assert list(short_path.iterdir()) == []


def test_what_hostile_peers_change(short_path: Path) -> None:
    options = ("--seconds", "0.5", "--folder", str(short_path), "--only", "unknown CURVE key", "malformed requests")
    unknown, malformed = measured("hostile_peers.py", *options)["rows"]
    assert unknown["connections_refused"] > 0
    assert 0 < malformed["requests_refused"] < malformed["requests"]  # the others asked for the status
    assert unknown["log_lines"] == 1
    assert 1 <= malformed["log_lines"] <= 2  # malformed they are, and may be a flood
    for row in (unknown, malformed):
        for delays in (row["before"], row["during"]):
            assert all(0 < p50_ms <= p99_ms for p50_ms, p99_ms in delays)
