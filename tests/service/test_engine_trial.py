"""Engines on trial in a running station: real graphs that fail on cloth, and stations that end in every way."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from failing_bundles import make_failing_bundle
from playing_station import ENGINE, Running, activated
from station_support import HALO, Pixels, cloth, make_bundle

from glass_edge.acquisition.camera import CameraLostError
from glass_edge.config.recipes import RecipeEntry
from glass_edge.engine.base import EngineError
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.gpu_probe import GpuUnavailableError
from glass_edge.engine.parity import ParityError
from glass_edge.errors import InputError
from glass_edge.events.errors import JournalError
from glass_edge.service import engine_prepared, engine_rescue
from glass_edge.service.engine_memory import EngineMemory, memory_path, station_lock
from glass_edge.service.engine_slots import EngineName
from glass_edge.service.engine_trial import (
    ROLLED_BACK_FAULT,
    TrialClock,
    attended,
    bundle_before,
    go_back_after_death,
)
from glass_edge.service.recipe_book import RecipeBook
from glass_edge.service.runtime_folder import runtime_folder

LINES = 9000
WHITE_FROM = 3500  # from here on every tile has a white pixel


@pytest.fixture
def sockets() -> Iterator[Path]:
    with runtime_folder() as folder:
        yield folder


def cloth_that_turns_white(lines: int = LINES) -> Pixels:
    strip = cloth(lines)
    for line in range(WHITE_FROM, lines):
        strip[line, line * 37 % 200 :: 48] = 255  # single pixels: no defect by brightness
    return strip


def gaps_of(running: Running) -> list[tuple[int, int, str]]:
    gaps = [one["payload"] for one in running.events if one["kind"] == "coverage.gap"]
    return [(gap["first_line"], gap["end_line"], gap["reason"]) for gap in gaps]


def check_every_line(running: Running, lines: int = LINES) -> int:
    """Inspected and missed add up to the lines woven; returns the lines that failed."""
    (end,) = [one["payload"] for one in running.events if one["kind"] == "roll.end"]
    gaps = gaps_of(running)
    missed = sum(end_line - first for first, end_line, _ in gaps)
    assert (end["lines_woven"], end["lines_inspected"], end["lines_missed"]) == (lines, lines - missed, missed)
    edges = [gap for gap in gaps if gap[2] == "segment_edge"]
    assert edges == [(0, HALO, "segment_edge"), (lines - HALO, lines, "segment_edge")]
    assert {gap[2] for gap in gaps} <= {"segment_edge", "engine_error"}
    return missed - 2 * HALO


def bundles(tmp_path: Path) -> Bundle:
    bundle = make_bundle(tmp_path / "engines")
    make_failing_bundle(tmp_path / "engines", "nan", version="2")
    return bundle


def test_an_engine_that_fails_on_trial_gives_way_to_the_one_before_without_a_stop(
    tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundles(tmp_path)
    settings = {"engine_failures_to_stop": 3}
    prepared: list[str] = []

    def prepare(*arguments: object) -> engine_prepared.Prepared:
        made = engine_prepared.prepare(*arguments)  # type: ignore[arg-type]
        prepared.append(made.bundle.manifest.version)
        return made

    monkeypatch.setattr("glass_edge.service.engine_keeper.prepare", prepare)
    monkeypatch.setattr("glass_edge.service.engine_rescue.prepare", prepare)
    playing = Running(tmp_path, sockets, bundle, lines=LINES, cloth=cloth_that_turns_white(), settings=settings)
    with playing as running:
        assert running.change("plain") == "2"
        running.until_active("plain", "2")
        running.until(lambda events: len(activated(events)) == 3)
        assert "plain 2" in running.refused("plain", "1") or "decides already" in running.refused("plain", "1")
        # Nobody who does not name it gets it again.
        assert "plain 1 decides already" in running.refused("plain")
    assert activated(running.events) == [("plain", "1"), ("plain", "2"), ("plain", "1")]
    assert prepared == ["2"]  # the one before was kept warm
    (told,) = running.failures(ROLLED_BACK_FAULT)
    assert told.startswith("back from engine plain 2 to plain 1: the engine failed 3 times in a row, last: ")
    assert told.endswith("glass-edge engine activate plain 2")
    kinds = [(one["kind"], one["payload"].get("fault_code")) for one in running.events]
    at = kinds.index(("status", ROLLED_BACK_FAULT))
    assert kinds[at + 1] == ("engine.activated", None)
    # What failed is one stretch from the first white line, as long as three rows of tiles and the handover.
    failed = [gap for gap in gaps_of(running) if gap[2] == "engine_error"]
    assert all(one[1] == other[0] for one, other in itertools.pairwise(failed))
    assert WHITE_FROM - 64 < failed[0][0] <= WHITE_FROM
    assert 3 * 32 <= check_every_line(running) <= 12 * 32
    kept = EngineMemory(memory_path(tmp_path / "events.journal"), bundle.folder)
    assert (str(kept.chosen), kept.died_on, kept.untold) == ("plain 1", None, None)
    engines = kept.engines("plain")
    assert engines is not None
    assert [one.version for one in engines.refused] == ["2"]
    assert "NaN" in engines.refused[0].reason
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("engine-")]


def test_named_by_a_person_it_is_on_trial_again_and_after_a_restart_the_one_before_is_prepared(
    tmp_path: Path, sockets: Path
) -> None:
    bundle = bundles(tmp_path)
    memory = EngineMemory(memory_path(tmp_path / "events.journal"), bundle.folder)
    book = {"plain": tmp_path / "engines" / "plain"}
    second = make_failing_bundle(tmp_path / "other", "nan", version="2")
    memory.begin(EngineName.of(bundle), 600.0)
    memory.choose(EngineName.of(second), 600.0)
    memory.go_back("plain", "it failed")
    memory.choose(EngineName.of(second), 600.0, is_running=False)  # with the station stopped
    settings = {"engine_failures_to_stop": 3}
    white = cloth_that_turns_white()
    with Running(tmp_path, sockets, second, book, lines=LINES, cloth=white, settings=settings) as running:
        running.until(lambda events: len(activated(events)) == 2)
    assert activated(running.events) == [("plain", "2"), ("plain", "1")]
    assert len(running.failures(ROLLED_BACK_FAULT)) == 1
    assert check_every_line(running) >= 3 * 32


def test_without_a_way_back_the_run_ends_as_before(
    tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine before cannot be prepared; an engine that stood its trial; one that never had one."""
    bundle = bundles(tmp_path)
    settings = {"engine_failures_to_stop": 3}
    white = cloth_that_turns_white()

    def none(*_: object) -> None:
        raise InputError("no memory left")

    monkeypatch.setattr(engine_rescue, "prepare", none)
    monkeypatch.setattr(engine_rescue.EngineRescue, "take_warm", lambda *_: None)
    playing = Running(tmp_path, sockets, bundle, lines=LINES, cloth=white, settings=settings, may_fail=True)
    with playing as running:
        running.change("plain")
    assert isinstance(running.error, EngineError)
    assert activated(running.events) == [("plain", "1"), ("plain", "2")]
    (told,) = running.failures()
    assert told.startswith("plain 2: the engine failed 3 times in a row")
    assert told.endswith("there is no way back: no memory left")
    memory = EngineMemory(memory_path(tmp_path / "events.journal"), bundle.folder)
    assert memory.died_on == "plain"  # so the next start goes back

    untried = ENGINE.model_copy(update={"trial_min": 0.0})
    (tmp_path / "other").mkdir()
    first = Running(
        tmp_path / "other", sockets, bundle, engine=untried, lines=LINES, cloth=white, settings=settings, may_fail=True
    )
    with first as running:
        running.change("plain")
    assert isinstance(running.error, EngineError)
    assert not running.failures(ROLLED_BACK_FAULT)
    assert len([gap for gap in gaps_of(running) if gap[2] == "engine_error"]) == 3


def test_a_trial_is_stood_by_inspecting(tmp_path: Path, sockets: Path) -> None:
    bundle = make_bundle(tmp_path / "engines")
    make_bundle(tmp_path / "engines", version="2")
    short = ENGINE.model_copy(update={"trial_min": 0.01})
    with Running(tmp_path, sockets, bundle, engine=short) as running:
        running.change("plain")
        running.until_active("plain", "2")
        assert running.memory.died_on == "plain"
        running.until(lambda _: running.memory.died_on is None)
    engines = EngineMemory(memory_path(tmp_path / "events.journal"), bundle.folder).engines("plain")
    assert engines is not None
    assert (engines.deciding.version, engines.deciding.is_proven, engines.trial) == ("2", True, None)
    assert engines.before is not None
    assert engines.before.version == "1"


def test_what_counts_as_inspecting() -> None:
    now = [0.0]
    clock = TrialClock(lambda: now[0])
    steps = []
    for at_s, lines in ((1, 100), (2, 200), (3, 200), (4, 300), (3604, 400), (3605, 10)):
        now[0] = at_s
        steps.append(clock.step(lines))
    assert steps == [1, 1, 0, 1, 5, 1]  # a standing web, and a pause, are none


@pytest.mark.parametrize(
    ("error", "is_engines"),
    [
        (EngineError("it failed"), True),
        (ParityError("it differs"), True),
        (MemoryError(), True),
        (RuntimeError("of some library"), True),
        (CameraLostError("no camera"), False),
        (JournalError("no space"), False),
        (InputError("wrong"), False),
        (KeyboardInterrupt(), False),
        (None, False),
    ],
)
def test_how_a_run_ends_decides_about_the_next_start(
    tmp_path: Path, error: BaseException | None, is_engines: bool
) -> None:
    one, two = (EngineName("plain", version, version * 64) for version in "12")
    memory = EngineMemory(tmp_path / "m", tmp_path)
    memory.begin(one, 600.0)
    memory.choose(two, 600.0, is_running=False)
    passes = contextlib.nullcontext() if error is None else pytest.raises(type(error))
    with passes, attended(memory, two, 600.0) as beginning:
        beginning.is_opened = True
        assert EngineMemory(tmp_path / "m", tmp_path).died_on == "plain"
        memory.count(90.0)
        if error is not None:
            raise error
    again = EngineMemory(tmp_path / "m", tmp_path)
    assert again.died_on == ("plain" if is_engines else None)
    engines = again.engines("plain")
    assert engines is not None
    assert engines.trial is not None
    assert engines.trial.left_s == 510.0


@pytest.mark.parametrize(("error", "is_engines"), [(InputError("no graph"), True), (GpuUnavailableError("no"), False)])
def test_an_engine_that_cannot_be_opened_is_the_engines_fault(
    tmp_path: Path, error: Exception, is_engines: bool
) -> None:
    one, two = (EngineName("plain", version, version * 64) for version in "12")
    memory = EngineMemory(tmp_path / "m", tmp_path)
    memory.begin(one, 600.0)
    with pytest.raises(type(error)), attended(memory, two, 600.0):
        raise error
    assert EngineMemory(tmp_path / "m", tmp_path).died_on == ("plain" if is_engines else None)


def _died(tmp_path: Path) -> tuple[EngineMemory, RecipeBook, Path]:
    """A station that died while plain 2 was on trial."""
    bundle, journal = make_bundle(tmp_path / "engines"), tmp_path / "journal"
    second = make_bundle(tmp_path / "engines", version="2")
    memory = EngineMemory(memory_path(journal), bundle.folder)
    memory.begin(EngineName.of(bundle), 600.0)
    memory.choose(EngineName.of(second), 600.0)
    again = EngineMemory(memory_path(journal), bundle.folder)
    return again, RecipeBook({"plain": RecipeEntry(bundle=tmp_path / "engines" / "plain")}), journal


def test_after_a_death_the_next_start_goes_back(tmp_path: Path) -> None:
    memory, book, journal = _died(tmp_path)
    told = go_back_after_death(memory, book, journal)
    assert told.startswith("back from engine plain 2 to plain 1: the station ended within the trial")
    assert told.endswith("glass-edge engine activate plain 2")
    assert str(memory.chosen) == "plain 1"
    assert memory.untold == told
    assert book.find("plain", None, memory).manifest.version == "1"
    assert book.find("plain", "2", memory).manifest.version == "2"
    assert go_back_after_death(memory, book, journal) == ""


def test_a_second_start_beside_a_running_station_changes_nothing(tmp_path: Path) -> None:
    memory, book, journal = _died(tmp_path)
    before = memory.path.read_bytes()
    lock = station_lock(journal)
    assert lock.acquire()
    assert go_back_after_death(memory, book, journal) == ""
    assert memory.path.read_bytes() == before
    lock.release()
    assert go_back_after_death(memory, book, journal) != ""


def test_where_the_engine_before_is_gone_or_another_the_one_on_trial_goes_on_and_that_is_said(tmp_path: Path) -> None:
    memory, book, journal = _died(tmp_path)
    model = tmp_path / "engines" / "plain" / "1" / "model.onnx"
    whole = model.read_bytes()
    model.write_bytes(b"no graph")
    told = go_back_after_death(memory, book, journal)
    assert "there is no way back" in told
    assert "model.onnx: SHA-256 is" in told
    assert memory.died_on == "plain"
    model.write_bytes(whole)
    assert bundle_before(memory, book, "plain").manifest.version == "1"
    for name in ("plain", "gone"):
        (tmp_path / "engines" / name).mkdir(exist_ok=True)
    (tmp_path / "engines" / "plain" / "1").rename(tmp_path / "engines" / "gone" / "1")
    make_bundle(tmp_path / "engines", threshold_logit=1.0)  # of the same name
    with pytest.raises(InputError, match="not the engine that decided before"):
        bundle_before(memory, book, "plain")


def test_a_hopeless_rescue_is_answered_at_once(tmp_path: Path, sockets: Path) -> None:
    """Beside the tests above: nobody waits longer than the failing rows for an answer."""
    bundle = make_failing_bundle(tmp_path / "engines", "nan", version="1")
    settings = {"engine_failures_to_stop": 2}
    begun_s = time.monotonic()
    white = cloth_that_turns_white()[WHITE_FROM:]
    playing = Running(tmp_path, sockets, bundle, lines=len(white), cloth=white, settings=settings, may_fail=True)
    with playing as running:
        pass
    assert isinstance(running.error, EngineError)
    assert len([gap for gap in gaps_of(running) if gap[2] == "engine_error"]) == 2
    assert time.monotonic() - begun_s < 30
