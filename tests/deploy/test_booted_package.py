"""The Debian package under a real systemd: made, installed, upgraded, removed, purged."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from booted import ROOT, Booted, debian_tree, wheels_of_this_checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STATION = "glass-edge@sample"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("dpkg-deb") is None or not os.access("/usr/bin/python3.11", os.X_OK):
        pytest.skip("needs dpkg and Debian's python3.11 with python3.11-venv")
    folder = tmp_path_factory.mktemp("package")
    wheels = wheels_of_this_checkout(folder)
    command = ["deploy/deb/build.sh", "--wheels", wheels, "--out", folder, "--python", "/usr/bin/python3.11"]
    made = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    (path,) = folder.glob("*.deb")
    assert made.stdout == f"{path}\n"
    return path


@pytest.fixture(scope="module")
def box(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    folder = tmp_path_factory.mktemp("booted")
    with Booted(debian_tree(folder), folder / "journal.txt", {"/src": ROOT, "/package": package.parent}) as booted:
        booted.do("dpkg", "--install", f"/package/{package.name}")
        yield booted


def test_the_package_s_station_runs(box: Booted) -> None:
    box.do("systemctl", "start", "glass-edge-station@sample.target")
    box.do("systemctl", "start", STATION)
    assert box.show(STATION, "ActiveState", "NRestarts") == ["active", "0"]
    (pid,) = box.show(STATION, "MainPID")
    assert box.do("readlink", f"/proc/{pid}/exe") == "/usr/bin/python3.11"
    assert box.ask("grep", "-rlI", "/tmp/tmp.", "/opt/glass-edge") == ""  # where it was made


def test_nothing_of_the_program_is_written_while_it_runs(box: Booted) -> None:
    box.do("systemctl", "start", STATION)
    assert box.ask("dpkg", "--verify", "glass-edge") == ""


def test_the_script_leaves_a_package_alone(box: Booted) -> None:
    assert box.fails("sh", "/src/deploy/install.sh", "--uninstall")


def test_an_upgrade_starts_what_runs_anew_and_keeps_settings(box: Booted, package: Path) -> None:
    box.do("systemctl", "start", STATION)
    (pid,) = box.show(STATION, "MainPID")
    box.do("sh", "-c", "echo '# mine' >> /etc/glass-edge/sample.toml")
    box.do("dpkg", "--install", f"/package/{package.name}")
    assert "# mine" in box.do("cat", "/etc/glass-edge/sample.toml")
    assert box.show(STATION, "ActiveState") == ["active"]
    assert box.show(STATION, "MainPID") != [pid]


def test_removal_keeps_data_and_purge_does_not(box: Booted) -> None:
    box.do("systemctl", "enable", "glass-edge-station@sample.target")
    box.do("dpkg", "--remove", "glass-edge")
    assert box.ask("systemctl", "list-units", "--all", "--no-legend", "glass-edge*") == ""
    assert box.ask("find", "/opt", "/etc/systemd", "/usr/lib/systemd", "-name", "*glass-edge*") == ""
    box.do("test", "-s", "/var/lib/glass-edge/sample/events.journal")
    box.do("test", "-s", "/etc/glass-edge/sample.toml")
    box.do("dpkg", "--purge", "glass-edge")
    assert box.ask("find", "/opt", "/etc/glass-edge", "/var/lib/glass-edge", "-mindepth", "1") == ""
