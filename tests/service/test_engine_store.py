"""Engines that are installed on a station, and old ones that go."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from failing_bundles import make_failing_bundle
from station_support import make_bundle, station_file

from glass_edge.config.engine import EngineSettings
from glass_edge.config.station import load_station
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.engine.keys import read_private_key, write_key_pair
from glass_edge.engine.manifest import MANIFEST_HASH_NAME, MANIFEST_NAME
from glass_edge.engine.parity import ParityError
from glass_edge.engine.signing import sign_bundle
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.service.engine_memory import EngineMemory, memory_path
from glass_edge.service.engine_record import installed_utc
from glass_edge.service.engine_selftest import try_engine
from glass_edge.service.engine_slots import EngineName
from glass_edge.service.engine_store import Installed, Order, folder_of, install

Test = Callable[[Bundle, EngineSettings], object]


@pytest.fixture
def station(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "engines")
    return station_file(tmp_path)


def bring(station: Path, source: Path, keep: int = 2, test: Test = lambda *_: None) -> Installed:
    return install(Order(station, source, test, keep))


def versions(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def decided(station: Path, *bundles: Bundle) -> EngineMemory:
    """Engines that decided on the station one after the other, each until it had stood its trial."""
    settings = load_station(station)
    memory = EngineMemory(memory_path(settings.events.journal), settings.bundle)
    memory.begin(EngineName.of(bundles[0]), 1.0)
    for bundle in bundles[1:]:
        memory.choose(EngineName.of(bundle), 1.0)
        memory.count(2.0)
    return memory


def test_a_bundle_comes_in_whole_readable_and_with_its_time(station: Path, tmp_path: Path) -> None:
    source = make_bundle(tmp_path / "stick", version="2")
    for path in source.folder.iterdir():
        path.chmod(0o600)  # as some sticks have it
    before = datetime.now(UTC)
    old_umask = os.umask(0o077)
    try:
        done = bring(station, source.folder)
    finally:
        os.umask(old_umask)
    assert (done.was_there, done.removed, done.kept_because) == (False, (), "")
    assert done.bundle.folder == tmp_path / "engines" / "plain" / "2"
    assert load_bundle(done.bundle.folder).manifest_sha256 == source.manifest_sha256
    came = installed_utc(done.bundle)
    assert came is not None
    assert before <= came <= datetime.now(UTC)
    assert done.bundle.folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in done.bundle.folder.iterdir()} == {0o644}
    again = bring(station, source.folder)
    assert (again.was_there, installed_utc(again.bundle)) == (True, came)
    assert not (tmp_path / "station.journal.engine.json").exists()  # nothing is activated


def test_what_is_wrong_is_refused_by_the_name_the_person_gave_and_nothing_stays(station: Path, tmp_path: Path) -> None:
    source = make_bundle(tmp_path / "stick", version="2").folder

    def refused(match: str, kind: type[GlassEdgeError] = InputError, test: Test = lambda *_: None) -> None:
        with pytest.raises(kind, match=match) as error:
            bring(station, source, test=test)
        assert str(source) in str(error.value)
        assert ".~install" not in str(error.value)
        assert versions(tmp_path / "engines" / "plain") == ["1"]

    def fails(bundle: Bundle, _: EngineSettings) -> None:
        raise ParityError(f"{bundle.folder}: it differs")

    refused("it differs", GlassEdgeError, fails)
    model = source / "model.onnx"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + b"x")
    refused("model.onnx: SHA-256 is")
    model.write_bytes(whole)
    (source / "more.txt").write_text("x")
    refused("not listed in manifest.json")
    (source / "more.txt").unlink()
    manifest = json.loads((source / MANIFEST_NAME).read_text())
    text = json.dumps(manifest | {"format_version": 2, "of_later": True})
    (source / MANIFEST_NAME).write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (source / MANIFEST_HASH_NAME).write_text(f"{digest}  {MANIFEST_NAME}\n")
    refused("format_version = 2: this program reads version 1; update the program")


def test_a_version_that_is_there_with_another_content_stays(station: Path, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "stick", threshold_logit=1.0)
    before = load_bundle(tmp_path / "engines" / "plain" / "1").manifest_sha256
    with pytest.raises(InputError, match="is there with another content"):
        bring(station, other.folder)
    assert load_bundle(tmp_path / "engines" / "plain" / "1").manifest_sha256 == before


def test_a_station_that_requires_a_signature_takes_no_other_bundle(tmp_path: Path) -> None:
    pair = write_key_pair(tmp_path / "mill")
    make_bundle(tmp_path / "engines")
    more = f'[engine]\nrequire_signature = true\ntrusted_keys = ["{pair.public}"]'
    station = station_file(tmp_path, more=more)
    source = make_bundle(tmp_path / "stick", version="2")
    tried: list[str] = []

    def test(bundle: Bundle, _: EngineSettings) -> None:
        tried.append(bundle.manifest.version)

    with pytest.raises(InputError, match="the bundle is not signed"):
        bring(station, source.folder, test=test)
    assert not tried  # nothing of it runs
    sign_bundle(source, read_private_key(pair.private), "Ada", datetime.now(UTC))
    assert bring(station, source.folder, test=test).bundle.signatures[0].signer == "Ada"
    assert tried == ["2"]


def test_it_must_be_of_a_style_whose_versions_the_station_may_choose(station: Path, tmp_path: Path) -> None:
    twill = make_bundle(tmp_path / "stick", style="twill", version="7")
    with pytest.raises(InputError, match=r'no such style; add to its table \[recipes\]: twill = "FOLDER"'):
        bring(station, twill.folder)
    named = station_file(tmp_path, more='[recipes]\ntwill = "elsewhere/twill"')
    assert bring(named, twill.folder).bundle.folder == tmp_path / "elsewhere" / "twill" / "7"
    alone = station_file(tmp_path, more='[recipes]\ntwill = "elsewhere/twill/7"')
    with pytest.raises(InputError, match=r"recipes.twill: .*/7 is one version alone.*give the folder of the style"):
        bring(alone, twill.folder)
    own = station_file(tmp_path, bundle="engines/plain/1")
    with pytest.raises(
        InputError, match=r'one version of style .plain. alone.*\[recipes\]: plain = ".*/engines/plain"'
    ):
        bring(own, make_bundle(tmp_path / "stick", version="2").folder)
    assert versions(tmp_path / "engines" / "plain") == ["1"]


def test_the_first_engine_of_a_station_has_a_place(tmp_path: Path) -> None:
    station = station_file(tmp_path)  # its engines/plain is not there yet
    assert folder_of(load_station(station), "plain") == tmp_path / "engines" / "plain"
    assert bring(station, make_bundle(tmp_path / "stick").folder).bundle.folder == tmp_path / "engines" / "plain" / "1"


def test_the_oldest_go_and_never_one_that_is_needed(station: Path, tmp_path: Path) -> None:
    engines = tmp_path / "engines" / "plain"
    made = {version: make_bundle(tmp_path / "engines", version=version) for version in "23456789"}
    decided(station, load_bundle(engines / "1"), made["3"], made["2"])  # 3 decided before 2
    station_file(tmp_path, "other", bundle="engines/plain/5")
    decided(station_file(tmp_path, "third"), made["4"])
    (tmp_path / "camera.toml").write_text("gain = 1\n")  # no station file
    new = make_bundle(tmp_path / "stick", version="10")
    done = bring(station, new.folder, keep=1)
    assert done.removed == ("1", "6", "7", "8")
    assert versions(engines) == sorted(["2", "3", "4", "5", "9", "10"])
    assert bring(station, new.folder, keep=0).removed == ("9",)
    (tmp_path / "broken.toml").write_text('station = "x"\nbundle = \n')
    make_bundle(tmp_path / "engines", version="1")
    done = bring(station, new.folder, keep=0)
    assert "broken.toml: cannot be read, and may be a station file" in done.kept_because
    assert "1" in versions(engines)


def test_a_killed_installation_leaves_no_bundle_and_the_next_one_cleans_up(station: Path, tmp_path: Path) -> None:
    """Killed at its worst moment: everything is written, and the engine is being tried."""
    source = make_bundle(tmp_path / "stick", version="2").folder
    script = (
        "import os, signal\nfrom pathlib import Path\nfrom glass_edge.service.engine_store import Order, install\n"
        f"install(Order(Path({str(station)!r}), Path({str(source)!r}), "
        "lambda *_: os.kill(os.getpid(), signal.SIGKILL), 2))"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    engines = tmp_path / "engines" / "plain"
    assert versions(engines)[0].startswith(".~install-")
    assert load_bundle(engines).manifest.version == "1"
    bring(station, source)
    assert versions(engines) == ["1", "2"]


def test_two_at_once_are_one_after_the_other(station: Path, tmp_path: Path) -> None:
    source = make_bundle(tmp_path / "stick", version="2").folder

    def again(*_: object) -> None:
        with pytest.raises(
            InputError, match=f"process {os.getpid()} is installing an engine there just now; try again"
        ):
            bring(station, source)

    assert not bring(station, source, test=again).was_there


def test_an_engine_is_tried_in_one_thread_at_the_least_priority(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "engines")
    before = os.getpriority(os.PRIO_PROCESS, 0)
    script = (
        "import os, sys\nfrom glass_edge.service import engine_selftest\n"
        "real = engine_selftest.open_engine\n"
        "def opened(bundle, settings):\n"
        "    engine = real(bundle, settings)\n"
        "    print(engine.facts.threads, os.getpriority(os.PRIO_PROCESS, 0), settings.cache_folder, file=sys.stderr)\n"
        "    return engine\n"
        "engine_selftest.open_engine = opened\n"
        "engine_selftest.main()"
    )
    settings = EngineSettings(cores=(0,), cache_folder=Path("cache"))
    ran = subprocess.run(
        [sys.executable, "-c", script, bundle.folder],
        input=settings.model_dump_json(),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert ran.stderr.splitlines()[-1] == "1 19 None"
    assert json.loads(ran.stdout)["facts"]["threads"] == 1
    assert try_engine(bundle, settings).precision == json.loads(ran.stdout)["facts"]["precision"]
    assert not (tmp_path / "cache").exists()
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_an_engine_that_ends_its_process_is_not_installed(station: Path, tmp_path: Path) -> None:
    """It crashes on its own golden tiles."""
    crashing = make_failing_bundle(tmp_path / "stick", "crash", version="2", golden_has_mark=True)
    with pytest.raises(GlassEdgeError, match=r"the engine ended its process \(SIG(SEGV|BUS|ABRT)\) while it was tried"):
        bring(station, crashing.folder, test=try_engine)
    assert versions(tmp_path / "engines" / "plain") == ["1"]


def test_an_engine_that_differs_here_is_not_installed(station: Path, tmp_path: Path) -> None:
    wrong = make_bundle(tmp_path / "stick", version="2", golden_shift=3.0)
    with pytest.raises(GlassEdgeError, match="differs from the checkpoint by up to 3"):
        bring(station, wrong.folder, test=try_engine)
    assert versions(tmp_path / "engines" / "plain") == ["1"]
    shutil.rmtree(wrong.folder)
    assert not bring(station, make_bundle(tmp_path / "stick", version="2").folder, test=try_engine).was_there
