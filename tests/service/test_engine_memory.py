"""What a station keeps of its engines: every order of events, and files of other versions."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from glass_edge.errors import InputError
from glass_edge.service.engine_memory import EngineMemory
from glass_edge.service.engine_slots import EngineName

TRIAL_S = 600.0
VERSIONS = ("1", "2", "3", "4")


def engine(version: str, style: str = "plain") -> EngineName:
    return EngineName(style, version, f"{ord(version[-1]):064x}")


def memory_at(path: Path, bundle: str = "b") -> EngineMemory:
    return EngineMemory(path / "journal.engine.json", path / bundle)


class Station(RuleBasedStateMachine):
    """A station of one style beside a list of what happened: the truth is read from the list, not from the slots."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.memory = memory_at(self.folder)
        self.deciding = "1"
        self.good = ["1"]  # that stood a trial, or was gone back to; the last one is the newest
        self.trial: float | None = None
        self.refused: set[str] = set()

    @initialize()
    def begin(self) -> None:
        self.memory.begin(engine("1"), TRIAL_S)

    def _way_back(self) -> str | None:
        """The last good engine but the deciding one, if it was not given up."""
        others = [version for version in self.good if version != self.deciding]
        return others[-1] if others and others[-1] not in self.refused else None

    @rule(version=st.sampled_from(VERSIONS))
    def choose(self, version: str) -> None:
        way_back = self._way_back()
        self.memory.choose(engine(version), TRIAL_S)
        if version == self.deciding:
            return
        if version == way_back and version not in self.refused:
            self._gone_back(version)
            return
        self.deciding, self.trial = version, TRIAL_S
        self.refused.discard(version)
        self.good = [one for one in self.good if one != version]

    @precondition(lambda self: self.trial is not None)
    @rule(seconds=st.floats(0.1, 400))
    def inspect(self, seconds: float) -> None:
        assert self.trial is not None
        proven = self.memory.count(seconds)
        self.trial -= seconds
        if self.trial <= 0:
            assert proven == engine(self.deciding)
            self.good.append(self.deciding)
            self.trial = None
        else:
            assert proven is None

    @precondition(lambda self: self.trial is not None)
    @rule()
    def fail(self) -> None:
        back = self.memory.go_back("plain", "it failed")
        assert back.version == self._way_back()
        self._gone_back(back.version)

    @rule()
    def restart(self) -> None:
        self.memory.end()
        self.memory = memory_at(self.folder)
        assert self.memory.died_on is None
        self.memory.begin(engine(self.deciding), TRIAL_S)

    @rule()
    def die(self) -> None:
        self.memory = memory_at(self.folder)
        assert (self.memory.died_on == "plain") == (self.trial is not None)
        if self.memory.died_on is not None:
            back = self.memory.go_back("plain", "it died", untold="it died")
            self._gone_back(back.version)
        self.memory.begin(engine(self.deciding), TRIAL_S)

    def _gone_back(self, version: str) -> None:
        self.refused.add(self.deciding)
        self.good = [one for one in self.good if one not in (version, self.deciding)] + [self.deciding, version]
        self.deciding, self.trial = version, None

    @invariant()
    def it_agrees(self) -> None:
        engines = self.memory.engines("plain")
        if engines is None:  # before it begins
            return
        assert engines.deciding.version == self.deciding
        assert (engines.trial is None) == (self.trial is None)
        assert {one.version for one in engines.refused} == self.refused
        assert self.deciding not in self.refused
        if self.trial is not None:  # then there is always a way back
            assert engines.way_back is not None
            assert engines.way_back.version == self._way_back()
        on_disk = memory_at(self.folder).engines("plain")
        assert on_disk is not None
        assert on_disk.deciding == engines.deciding
        assert on_disk.before == engines.before


TestStation = Station.TestCase
TestStation.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_each_style_has_slots_and_a_trial_of_its_own(tmp_path: Path) -> None:
    memory = memory_at(tmp_path)
    memory.begin(engine("1"), TRIAL_S)
    memory.choose(engine("2"), TRIAL_S)
    memory.count(100.0)
    memory.choose(engine("7", "twill"), TRIAL_S)
    twill = memory.engines("twill")
    assert twill is not None
    assert (twill.deciding.version, twill.before, twill.trial) == ("7", None, None)  # nothing to go back to
    assert memory.count(1000.0) is None
    plain = memory_at(tmp_path).engines("plain")
    assert plain is not None
    assert plain.trial is not None
    assert (plain.trial.left_s, plain.trial.is_running) == (500.0, False)
    assert memory_at(tmp_path).died_on is None  # the twill decides: no harm of the plain 2
    memory.choose(engine("2"), TRIAL_S)
    assert memory_at(tmp_path).died_on == "plain"
    assert memory.count(499.0) is None
    assert memory.count(2.0) == engine("2")


def test_a_person_who_names_another_bundle_wins_and_what_was_learnt_stays(tmp_path: Path) -> None:
    memory = memory_at(tmp_path)
    memory.begin(engine("1"), TRIAL_S)
    memory.choose(engine("2"), TRIAL_S)
    memory.go_back("plain", "it failed")
    other = memory_at(tmp_path, "other")
    assert (str(other.overruled), other.chosen, other.is_of_this_file) == ("plain 1", None, False)
    assert other.refusal(engine("2")) is not None
    other.begin(engine("1"), TRIAL_S)
    again = memory_at(tmp_path, "other")
    assert (again.overruled, again.is_of_this_file) == (None, True)


def test_a_file_of_the_version_before_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.engine.json"
    chosen = {"style": "plain", "version": "2", "asked_utc": "2026-01-02T03:04:00Z"}
    old = {"format": 1, "station_bundle": str((tmp_path / "b").absolute()), "chosen": chosen, "pending": None}
    path.write_text(json.dumps(old))
    memory = memory_at(tmp_path)
    assert str(memory.chosen) == "plain 2"
    assert (memory.engines("plain"), memory.died_on, memory.untold) == (None, None, None)
    memory.begin(engine("2"), TRIAL_S)
    assert json.loads(path.read_text())["format"] == 2
    again = memory_at(tmp_path)
    assert str(again.chosen) == "plain 2"
    engines = again.engines("plain")
    assert engines is not None
    assert engines.deciding.is_proven  # it decided under the program before
    again.choose(engine("3"), TRIAL_S)
    assert again.go_back("plain", "it failed") == engine("2")


def test_a_damaged_memory_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "journal.engine.json"
    memory = memory_at(tmp_path)
    memory.begin(engine("1"), TRIAL_S)
    memory.ask("twill", "2")
    memory.choose(engine("3"), TRIAL_S)
    assert (str(memory.chosen), str(memory.pending)) == ("plain 3", "twill 2")
    memory.choose(engine("2", "twill"), TRIAL_S)
    assert memory.pending is None
    whole = path.read_text()
    for text in ("", whole[: len(whole) // 2], "[]", whole.replace('"format": 2', '"format": 0')):
        path.write_text(text)
        with pytest.raises(InputError, match=r"journal\.engine\.json.*delete it"):
            memory_at(tmp_path)
    path.write_text(whole.replace('"format": 2', '"format": 3'))
    with pytest.raises(InputError, match="format = 3: this program reads up to 2; update the program, or delete it"):
        memory_at(tmp_path)
