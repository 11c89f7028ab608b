from __future__ import annotations

import re
from pathlib import Path

import pytest

from glass_edge.config.station import STATION_PATTERN, load_station
from glass_edge.errors import InputError
from glass_edge.events import schema

GOOD = """
station = "loom1"
bundle = "engines/plain"
[camera]
kind = "loom"
width_px = 300
[web]
mm_per_px = 0.1
mm_per_line = 0.2
"""


def _load(tmp_path: Path, text: str) -> object:
    (tmp_path / "s.toml").write_text(text)
    return load_station(tmp_path / "s.toml")


def test_relative_paths_belong_to_the_files_folder(tmp_path: Path) -> None:
    text = GOOD.replace('kind = "loom"\nwidth_px = 300', 'kind = "replay"\npath = "images"')
    text += '[events]\njournal = "j/events"\n[output]\nfolder = "/abs"\n[engine]\ncache_folder = "cache"\n'
    (tmp_path / "s.toml").write_text(text)
    station = load_station(tmp_path / "s.toml")
    assert station.bundle == tmp_path / "engines" / "plain"
    assert station.camera.path == tmp_path / "images"
    assert station.events.journal == tmp_path / "j" / "events"
    assert station.output.folder == Path("/abs")
    assert station.engine.cache_folder == tmp_path / "cache"


def test_what_is_left_out_has_the_default_of_its_table(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(GOOD)
    station = load_station(tmp_path / "s.toml")
    assert station.inspection.threshold_logit is None
    assert station.engine.cache_folder is None
    assert station.events.journal == Path("/var/lib/glass-edge/events.journal")
    assert station.web.span == "auto"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('station = "loom1"', 'station = "loom 1"'), r"s\.toml:2: station = 'loom 1'"),
        (('bundle = "engines/plain"', ""), r"key 'bundle' is missing"),
        (('kind = "loom"', 'kind = "lume"'), r"camera"),
        (("mm_per_px = 0.1", "mm_per_pix = 0.1"), r"unknown key 'web\.mm_per_pix'; did you mean 'mm_per_px'"),
        (("mm_per_line = 0.2", "mm_per_line = 0.2\nspan = { left_px = 0, right_px = 301 }"), r"at most 300"),
        (("[web]", "[event]\n[web]"), r"unknown key 'event'; did you mean 'events'"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _load(tmp_path, GOOD.replace(*change))


def test_a_station_may_have_the_names_the_events_may_have() -> None:
    assert re.compile(STATION_PATTERN) == re.compile(schema.STATION_PATTERN)
