"""The table `[stop]`: off by default, every rule can be switched off, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from glass_edge.config.base import load_toml
from glass_edge.config.stop_rule import StopSettings
from glass_edge.errors import InputError
from glass_edge.fabric.stop_rule_values import DenseRule, RepeatRule


def _load(tmp_path: Path, text: str) -> StopSettings:
    path = tmp_path / "stop.toml"
    path.write_text(text)
    return load_toml(path, StopSettings)


def test_a_loom_is_stopped_only_where_the_mill_says_so(tmp_path: Path) -> None:
    assert StopSettings().rules() is None
    assert _load(tmp_path, "hole = true\n").rules() is None
    rules = _load(tmp_path, "enabled = true\n").rules()
    assert rules is not None
    assert rules.hole
    assert rules.running_above_mm == 500
    assert rules.dense == DenseRule(6, 1000)
    assert rules.repeat == RepeatRule(4, 3, 5000, 50)
    assert rules.periodic is not None
    assert rules.periodic.within_mm == rules.look_back_mm == 20_000
    assert (rules.min_interval_s, rules.min_interval_mm) == (120, 500)


def test_each_rule_can_be_switched_off(tmp_path: Path) -> None:
    text = "enabled = true\nhole = false\n"
    text += "".join(f"[{name}]\nenabled = false\n" for name in ("running", "dense", "repeat", "periodic"))
    rules = _load(tmp_path, text).rules()
    assert rules is not None
    assert not rules.hole
    assert (rules.running_above_mm, rules.dense, rules.repeat, rules.periodic) == (None, None, None, None)
    assert rules.look_back_mm == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("enable = true", r"unknown key 'enable'; did you mean 'enabled'"),
        ("[dense]\ndefects = 1", r"stop\.toml:2: dense\.defects = 1"),
        ("[dense]\nwithin_mm = 1", r"unknown key 'dense\.within_mm'; did you mean 'within_m'"),
        ("min_interval_s = -1", r"min_interval_s = -1"),
        ("[periodic]\nalong_tolerance_mm = 25", r"must exceed twice along_tolerance_mm = 25"),
        ("[periodic]\nwithin_m = 0.1", r"give at least 150"),
        ("[periodic]\nfalse_alarm = 0", r"periodic\.false_alarm = 0"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _load(tmp_path, text)
