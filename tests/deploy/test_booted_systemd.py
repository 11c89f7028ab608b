"""A station and an adapter under a real systemd, from installation to removal; its journal is kept in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from booted import ROOT, Booted, debian_tree, lines_of, wheels_of_this_checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STATION, ADAPTER, TARGET = "glass-edge@sample", "glass-edge-adapter@sample-files", "glass-edge-station@sample.target"
INSTALL = ("sh", "/src/deploy/install.sh", "--wheels", "/wheels")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """A box that the program is installed on, with the sample station running."""
    folder = tmp_path_factory.mktemp("booted")
    tree, wheels = debian_tree(folder), wheels_of_this_checkout(folder)
    with Booted(tree, folder / "journal.txt", {"/src": ROOT, "/wheels": wheels}) as booted:
        booted.do(*INSTALL)
        booted.do("systemctl", "start", TARGET)
        yield booted


def _eventually_runs(box: Booted, unit: str, within_s: float = 60) -> None:
    box.eventually(lambda: box.show(unit, "ActiveState", "SubState") == ["active", "running"], f"{unit} runs", within_s)


def test_the_start_of_a_target_ends_when_its_station_inspects(box: Booted) -> None:
    box.do("systemctl", "start", STATION)  # Type=notify: this comes back when the station said READY
    assert box.show(STATION, "ActiveState", "NRestarts") == ["active", "0"]
    assert box.show(STATION, "StatusText")[0].startswith(("Ready: ", "ContinuousExecution: roll sample-"))
    pattern = r"ContinuousExecution: roll sample-\d+T\d+Z, \d+\.\d m inspected at \d+\.\d m/min, \d+ defects?.*"
    box.eventually(lambda: bool(re.fullmatch(pattern, box.show(STATION, "StatusText")[0])), "the status", 30)
    before = box.show(STATION, "WatchdogTimestampMonotonic")
    box.eventually(lambda: box.show(STATION, "WatchdogTimestampMonotonic") > before, "food of the watchdog", 30)


def test_the_processes_are_closed_in(box: Booted) -> None:
    box.do("systemctl", "start", ADAPTER)
    for unit in (STATION, ADAPTER):
        (pid,) = box.show(unit, "MainPID")
        status = dict(
            line.split(":\t", 1) for line in box.do("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line
        )
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert status["CapEff"] == status["CapBnd"] == "0000000000000000"
        assert status["Uid"].split() == [box.do("id", "-u", "glass-edge")] * 4
        assert box.show(unit, "ProtectSystem") == ["strict"]
    assert box.do("stat", "--format=%U %a", "/run/glass-edge") == "glass-edge 750"


def test_an_adapter_follows_its_station_over_the_shared_folder(box: Booted) -> None:
    box.do("systemctl", "start", ADAPTER)
    heard = "following, station sample, event "
    box.eventually(lambda: box.show(ADAPTER, "StatusText")[0].startswith(heard), "events", 30)
    box.do("systemctl", "restart", STATION)
    rolls = "/var/lib/glass-edge/adapters/sample-files/rolls"
    box.eventually(lambda: bool(lines_of(box.ask("ls", rolls), ["sample-", ".json"])), "the roll's files", 30)
    assert box.show(ADAPTER, "NRestarts", "ActiveState") == ["0", "active"]


def test_a_killed_station_comes_back_and_its_journal_goes_on(box: Booted) -> None:
    _eventually_runs(box, STATION)
    (pid,) = box.show(STATION, "MainPID")
    box.do("kill", "-9", pid)
    box.eventually(lambda: box.show(STATION, "NRestarts") == ["1"], "the restart", 60)
    _eventually_runs(box, STATION)
    assert box.show(STATION, "MainPID") != [pid]
    journal = "/var/lib/glass-edge/sample/events.journal"
    box.do("runuser", "-u", "glass-edge", "--", "glass-edge", "events", "verify", journal)


def test_a_station_that_hangs_is_ended_and_its_journal_says_where(box: Booted) -> None:
    """The main thread is stopped from outside for longer than the watchdog waits, here 6 s."""
    folder = "/run/systemd/system/glass-edge@sample.service.d"
    box.do("mkdir", "-p", folder)
    box.do("sh", "-c", f"printf '[Service]\\nWatchdogSec=6s\\nRestartSec=1s\\n' > {folder}/short.conf")
    box.do("systemctl", "daemon-reload")
    box.do("systemctl", "restart", STATION)
    (pid,) = box.show(STATION, "MainPID")
    box.do("kill", "-STOP", pid)
    box.eventually(lambda: box.show(STATION, "NRestarts") != ["0"], "the end by the watchdog", 60)
    _eventually_runs(box, STATION)
    told = box.do("journalctl", "--no-pager", "--unit", STATION)
    assert lines_of(told, ["Watchdog timeout"])
    assert lines_of(told, [f"[{pid}]", "Fatal Python error: Aborted"])
    assert lines_of(told, [f"[{pid}]", "inference_stage.py"])
    box.do("rm", "-r", folder)
    box.do("systemctl", "daemon-reload")


def test_a_credential_reaches_the_program(box: Booted) -> None:
    glass_edge = "/opt/glass-edge/bin/glass-edge"
    box.do(glass_edge, "keys", "new", "sample", "--folder", "/root/keys")
    box.do("mkdir", "-p", "-m", "0700", "/etc/credstore")
    box.do("install", "-m", "0600", "/root/keys/sample.key_secret", "/etc/credstore/glass-edge.curve.events-key")
    box.do("mkdir", "-p", "/etc/glass-edge/clients")
    box.do("cp", "/root/keys/sample.key", "/etc/glass-edge/clients/mes.key")
    station = box.do("cat", "/etc/glass-edge/sample.toml").replace('"sample"', '"curve"').replace("sample-", "curve-")
    station = station.replace("/var/lib/glass-edge/sample", "/var/lib/glass-edge/curve")
    keys = '[events.curve]\\nserver_key = "credential:events-key"\\nallowed_clients = "/etc/glass-edge/clients"\\n'
    box.do(
        "sh",
        "-c",
        'printf "%s\\n" "$1" > /etc/glass-edge/curve.toml; printf "$2" >> /etc/glass-edge/curve.toml',
        "sh",
        station,
        keys,
    )
    box.do("sed", "-i", "s#ipc:///run/glass-edge/curve-events#tcp://127.0.0.1:5571#", "/etc/glass-edge/curve.toml")
    box.do("systemctl", "start", "glass-edge@curve")
    box.do("systemctl", "stop", "glass-edge@curve")
    assert box.show("glass-edge@curve", "Result") == ["success"]


NEW_VERSION = """
from pathlib import Path
from glass_edge.engine.bundle import load_bundle
from glass_edge.engine.bundle_writer import write_bundle
engines = Path("/opt/glass-edge/share/engines")
old = load_bundle(engines / "demo/1")
files = {name: old.read(name) for name in old.manifest.files}
write_bundle(engines, old.manifest.model_copy(update={"version": "2"}), files)
"""


def test_a_reload_brings_a_newer_engine_or_says_why_not(box: Booted) -> None:
    box.do("systemctl", "start", STATION)
    before = box.show(STATION, "MainPID", "NRestarts")
    box.do(box.do("readlink", "-f", "/opt/glass-edge/bin") + "/python", "-c", NEW_VERSION)
    box.do("systemctl", "reload", STATION)
    assert lines_of(box.tail(), ["demo 2 decides, 1 did before"])
    box.do("cp", "/etc/glass-edge/sample.toml", "/root/sample.toml")
    box.do("sed", "-i", "s/line_rate_hz = 250/line_rate_hz = 200/", "/etc/glass-edge/sample.toml")
    assert box.fails("systemctl", "reload", STATION)
    assert lines_of(box.tail(), ["changed since the station started: camera.line_rate_hz; restart the station"])
    assert box.show(STATION, "MainPID", "NRestarts") == before
    box.do("cp", "/root/sample.toml", "/etc/glass-edge/sample.toml")
    box.do("systemctl", "stop", STATION)
    box.do("rm", "-r", "/opt/glass-edge/share/engines/demo/2", "/var/lib/glass-edge/sample/events.journal.engine.json")


def test_a_target_ends_all_that_its_drop_in_names(box: Booted) -> None:
    folder = f"/etc/systemd/system/{TARGET}.d"
    unit = f"{ADAPTER}.service"
    box.do("mkdir", "-p", folder)
    box.do("sh", "-c", f"printf '[Unit]\\nWants={unit}\\nPropagatesStopTo={unit}\\n' > {folder}/adapters.conf")
    box.do("systemctl", "daemon-reload")
    box.do("systemctl", "stop", STATION, ADAPTER)
    box.do("systemctl", "start", TARGET)
    _eventually_runs(box, STATION)
    _eventually_runs(box, ADAPTER)
    box.do("systemctl", "stop", TARGET)
    for one in (STATION, ADAPTER):
        box.eventually(lambda one=one: box.show(one, "ActiveState") == ["inactive"], f"{one} ends", 60)
        assert box.show(one, "Result") == ["success"]
    assert box.show(STATION, "ExecMainStatus") == ["0"]
    box.do("test", "-d", "/run/glass-edge")


def test_what_may_come_back_is_tried_again_and_what_cannot_is_left(box: Booted) -> None:
    assert box.fails("systemctl", "start", "glass-edge@absent")
    assert lines_of(box.tail(), ["Assertion failed", "glass-edge@absent"])
    wrong = "glass-edge-adapter@wrong"
    box.do("sh", "-c", "echo 'adapter = 7' > /etc/glass-edge/adapters/wrong.toml")
    assert box.fails("systemctl", "start", wrong)
    assert box.show(wrong, "ExecMainStatus") == ["2"]
    assert lines_of(box.tail(), ["wrong.toml: one of the tables [files], "])
    box.eventually(lambda: int(box.show(wrong, "NRestarts")[0]) >= 2, "tries", 60)
    box.do("systemctl", "stop", wrong)
    folder = "/run/systemd/system/glass-edge-adapter@broken.service.d"
    box.do("mkdir", "-p", folder)
    box.do(
        "sh", "-c", f"printf '[Service]\\nExecStart=\\nExecStart=/opt/absent run\\nRestartSec=1s\\n' > {folder}/x.conf"
    )
    box.do("cp", "/etc/glass-edge/adapters/sample-files.toml", "/etc/glass-edge/adapters/broken.toml")
    box.do("systemctl", "daemon-reload")
    assert box.fails("systemctl", "start", "glass-edge-adapter@broken")
    box.eventually(lambda: box.show("glass-edge-adapter@broken", "ActiveState") == ["failed"], "the start limit", 60)
    assert lines_of(box.tail(), ["glass-edge-adapter@broken", "Start request repeated too quickly"])
    box.do("rm", "-r", folder)


def test_devices_and_kernel_get_their_settings(box: Booted) -> None:
    rules = "/usr/local/lib/udev/rules.d/70-glass-edge.rules"
    said = box.ask("sh", "-c", "udevadm test --action=add /sys/devices/virtual/mem/null 2>&1")
    assert f"Reading rules file: {rules}" in said
    assert not lines_of(said, ["70-glass-edge.rules:"])  # complaints name file and line
    assert "60-glass-edge.conf" in box.do("systemd-analyze", "cat-config", "sysctl.d")


def test_a_second_installation_keeps_what_is_there(box: Booted) -> None:
    box.do("systemctl", "start", STATION)
    (pid,) = box.show(STATION, "MainPID")
    box.do("sh", "-c", "echo '# mine' >> /etc/glass-edge/sample.toml")
    before = box.do("readlink", "/opt/glass-edge/bin")
    box.do(*INSTALL)
    assert box.show(STATION, "MainPID", "ActiveState") == [pid, "active"]
    assert "# mine" in box.do("cat", "/etc/glass-edge/sample.toml")
    assert box.do("readlink", "/opt/glass-edge/bin") != before
    assert len(box.do("ls", "/opt/glass-edge/releases").split()) == 2
    box.do("systemctl", "restart", STATION)


def test_removal_keeps_data_and_purge_does_not(box: Booted) -> None:
    box.do("systemctl", "enable", TARGET)
    box.do("sh", "/src/deploy/install.sh", "--uninstall")
    listed = ("systemctl", "list-units", "--all", "--no-legend", "glass-edge*")
    box.eventually(lambda: box.ask(*listed) == "", "systemd to forget the units", 10.0)  # it collects them when idle
    left = box.ask("find", "/opt", "/usr/local", "/etc/systemd", "-name", "*glass-edge*").splitlines()
    assert left == [f"/etc/systemd/system/{TARGET}.d"]  # the drop-in is somebody's own
    box.do("test", "-s", "/var/lib/glass-edge/sample/events.journal")
    box.do("test", "-s", "/etc/glass-edge/sample.toml")
    box.do("sh", "/src/deploy/install.sh", "--uninstall", "--purge")
    assert box.ask("find", "/opt", "/etc", "/var", "/usr/local", "-name", "*glass-edge*") == ""
    assert box.fails("id", "glass-edge")
