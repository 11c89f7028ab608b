"""The engine of the next start is the same for those who look as for the start itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from station_support import make_bundle, station_file

from glass_edge.cli.station_engine import station_engine
from glass_edge.config.station import StationSettings, load_station
from glass_edge.engine.bundle import load_manifest
from glass_edge.errors import InputError
from glass_edge.service.doctor import parts
from glass_edge.service.doctor.finding import Verdict, examine
from glass_edge.service.engine_memory import EngineMemory, memory_path, station_lock
from glass_edge.service.engine_next import next_start
from glass_edge.service.engine_slots import EngineName


@pytest.fixture
def settings(tmp_path: Path) -> StationSettings:
    """A station with plain 1 and 2."""
    for version in "12":
        make_bundle(tmp_path / "engines", version=version)
    return load_station(station_file(tmp_path))


def _memory(settings: StationSettings) -> EngineMemory:
    return EngineMemory(memory_path(settings.events.journal), settings.bundle)


def _name(settings: StationSettings, version: str) -> EngineName:
    return EngineName.of(load_manifest(settings.bundle / version))


def _choose(settings: StationSettings, version: str, *, dies: bool = False) -> None:
    memory = _memory(settings)
    memory.begin(_name(settings, "1"), 600.0)
    memory.choose(_name(settings, version), 600.0, is_running=dies)


def test_without_a_choice_it_is_the_station_files(settings: StationSettings) -> None:
    before = set(settings.bundle.parent.parent.rglob("*"))
    found = next_start(settings)
    assert (found.folder.name, found.said) == ("2", "")
    assert set(settings.bundle.parent.parent.rglob("*")) == before  # nothing made


def test_a_choice_is_looked_at_by_the_doctor_and_named(settings: StationSettings) -> None:
    _choose(settings, "1")
    first, second, *_ = examine("engine", lambda: parts.engine_of(settings))
    assert "plain 1, chosen by a command" in first.text
    assert str(settings.bundle / "1") in second.text
    (settings.bundle / "1" / "model.onnx").write_bytes(b"no graph")
    assert [one.verdict for one in examine("engine", lambda: parts.engine_of(settings))][-1] is Verdict.BAD


def test_a_choice_that_is_gone_is_told_with_the_way_back(settings: StationSettings, tmp_path: Path) -> None:
    _choose(settings, "1")
    (settings.bundle / "1").rename(tmp_path / "away")
    with pytest.raises(InputError, match=r"the engine is plain 1, chosen by a command.*delete .*engine"):
        next_start(settings)


def test_after_a_death_within_a_trial_it_is_what_the_start_takes(settings: StationSettings) -> None:
    _choose(settings, "2", dies=True)
    written = memory_path(settings.events.journal).read_bytes()
    found = next_start(settings)
    assert found.folder.name == "1"
    assert "goes back to plain 1" in found.said
    assert memory_path(settings.events.journal).read_bytes() == written
    assert station_engine(settings).bundle.folder == found.folder


def test_a_trial_that_goes_on_is_no_death(settings: StationSettings) -> None:
    _choose(settings, "2", dies=True)
    lock = station_lock(settings.events.journal)
    assert lock.acquire()
    try:
        assert next_start(settings).folder.name == "2"
    finally:
        lock.release()
    assert next_start(settings).folder.name == "1"


def test_without_a_way_back_the_one_on_trial_is_tried_again(settings: StationSettings) -> None:
    _choose(settings, "2", dies=True)
    (settings.bundle / "1" / "model.onnx").write_bytes(b"no graph")
    assert next_start(settings).folder.name == "2"
    assert station_engine(settings).bundle.folder.name == "2"
