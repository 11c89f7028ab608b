"""The files of deploy/, judged by the programs that will read them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from glass_edge.cli.adapter_any import kind_of
from glass_edge.cli.main import app
from glass_edge.config.station import load_station

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*@.*"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
LEAST_VERSION = 252
PACKAGE_SCRIPTS = ("build.sh", "postinst", "prerm", "postrm")


def _needs(program: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program} of the package {package}")


def _version() -> int:
    said = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[1])


def _run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as instances of `loom1`, with a program that is there."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/glass-edge/bin/glass-edge", sys.executable)
        (tmp_path / unit.name.replace("@.", "@loom1.")).write_text(text)
    return tmp_path


@_needs("systemd-analyze", "systemd")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_say_about_a_unit(installed: Path, unit: Path) -> None:
    if _version() < LEAST_VERSION:
        pytest.skip(f"needs systemd {LEAST_VERSION}")
    said = _run("systemd-analyze", "verify", "--man=no", installed / unit.name.replace("@.", "@loom1."))
    about_us = [line for line in (said.stdout + said.stderr).splitlines() if "glass-edge" in line]
    assert about_us == []
    assert said.returncode == 0, said.stderr


@_needs("systemd-analyze", "systemd")
@pytest.mark.parametrize(("name", "most"), [("glass-edge@", 2.0), ("glass-edge-adapter@", 2.0)])
def test_a_service_is_closed_to_what_it_does_not_need(installed: Path, name: str, most: float) -> None:
    """Exposure as systemd counts it: 10 is open, below 2.5 is its own 'OK', 1.0 without network and devices."""
    if _version() < LEAST_VERSION:
        pytest.skip(f"needs systemd {LEAST_VERSION}")
    threshold = round(10 * most)
    unit = installed / f"{name}loom1.service"
    said = _run("systemd-analyze", "security", "--offline=yes", f"--threshold={threshold}", unit)
    assert said.returncode == 0, said.stdout
    figure = re.search(r"Overall exposure level for \S+: (\d+\.\d)", said.stdout)
    assert figure is not None
    assert 0 < float(figure[1]) <= most


@_needs("systemd-analyze", "systemd")
def test_growing_pauses_are_understood_where_they_are_installed(installed: Path) -> None:
    if _version() < 254:
        pytest.skip(f"needs systemd 254, which knows RestartSteps; here is {_version()}")
    text = (installed / "glass-edge@loom1.service").read_text()
    (installed / "glass-edge@loom1.service").write_text(text + (DEPLOY / "systemd/restart-backoff.conf").read_text())
    said = _run("systemd-analyze", "verify", "--man=no", installed / "glass-edge@loom1.service")
    assert "glass-edge" not in said.stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_starts_commands_that_there_are(unit: Path) -> None:
    lines = re.findall(r"^Exec(?:Start|Reload)=(.*)$", unit.read_text(), re.MULTILINE)
    assert len(lines) in (1, 2)
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "/opt/glass-edge/bin/glass-edge"
        command = typer.main.get_command(app)
        while words and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert words[0] in options
        assert len(words) == 2


@_needs("systemd-sysusers", "systemd")
def test_the_user_cannot_log_in_and_may_open_gpus(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    said = _run("systemd-sysusers", f"--root={tmp_path}", DEPLOY / "systemd/sysusers.conf")
    assert said.returncode == 0, said.stderr
    (user,) = [line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines() if "glass-edge" in line]
    assert user[0] == "glass-edge"
    assert 0 < int(user[2]) < 1000
    assert user[5:] == ["/var/lib/glass-edge", "/usr/sbin/nologin"]
    groups = {line.split(":")[0]: line.split(":")[3] for line in (tmp_path / "etc/group").read_text().splitlines()}
    assert groups["video"] == groups["render"] == "glass-edge"


def test_the_settings_of_the_network_are_ones_the_kernel_has() -> None:
    if not Path("/proc/sys/net/core/rmem_max").exists():
        pytest.skip("needs the machine's own network namespace, where these settings are")
    lines = (DEPLOY / "sysctl/60-glass-edge.conf").read_text().splitlines()
    settings = dict(line.split(" = ") for line in lines if not line.startswith("#"))
    for name, value in settings.items():
        assert Path("/proc/sys", name.replace(".", "/")).exists(), name
        assert int(value) > 0
    assert int(settings["net.core.rmem_max"]) == 32 << 20


def test_the_samples_are_good_and_belong_together() -> None:
    station = load_station(DEPLOY / "sample-station.toml")
    adapter_file = DEPLOY / "sample-adapter.toml"
    assert kind_of(adapter_file) == "files"
    adapter = tomllib.loads(adapter_file.read_text())
    assert adapter["source"] == {
        "station": station.station,
        "publish_endpoint": station.events.publish_endpoint,
        "request_endpoint": station.events.request_endpoint,
    }
    assert str(station.bundle) == "/opt/glass-edge/share/engines/demo"
    assert adapter["state"]["folder"] == f"/var/lib/glass-edge/adapters/{adapter['adapter']}"
    for path in (station.events.journal, station.output.folder):
        assert path.is_relative_to("/var/lib/glass-edge")


@_needs("shellcheck", "shellcheck")
@pytest.mark.parametrize(
    "script", ["install.sh", "layout.sh", "deb/build.sh", "deb/postinst", "deb/prerm", "deb/postrm"]
)
def test_shellcheck_has_nothing_to_say_about_a_script(script: str) -> None:
    command = ["shellcheck", "--external-sources", f"deploy/{script}"]
    said = subprocess.run(command, cwd=DEPLOY.parent, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "glass_edge-0.1.0-py3-none-any.whl").touch()
    return folder


def _old_python(folder: Path) -> Path:
    path = folder / "python3.9"
    path.write_text('#!/bin/sh\nif [ "$1" = --version ]; then echo Python 3.9.2; else exit 1; fi\n')
    path.chmod(0o755)
    return path


def test_the_installer_says_what_is_missing(tmp_path: Path, wheels: Path) -> None:
    install = DEPLOY / "install.sh"
    (tmp_path / "empty").mkdir()
    for arguments, message in [
        (["--wheel", "x"], "deploy/install.sh --wheels DIR"),
        (["--purge"], "deploy/install.sh --uninstall"),
        ([], "give the folder of wheels: --wheels DIR"),
        (["--wheels", tmp_path / "absent"], "absent: no such folder"),
        (["--wheels", tmp_path / "empty"], "holds no glass_edge-*.whl"),
        (["--wheels", wheels, "--python", "python9"], "python9: no such program"),
        (["--wheels", wheels, "--python", _old_python(tmp_path)], "Python 3.9.2 is not supported"),
    ]:
        said = _run("sh", install, *arguments)
        assert said.returncode == 2, arguments
        assert message in said.stderr, arguments


@_needs("dpkg-deb", "dpkg")
def test_the_package_maker_says_what_is_missing(tmp_path: Path, wheels: Path) -> None:
    build = DEPLOY / "deb" / "build.sh"
    for arguments, message in [
        ([], "deploy/deb/build.sh --wheels DIR"),
        (["--wheels", tmp_path / "absent", "--out", tmp_path], "absent: no such folder"),
        (["--wheels", wheels, "--out", tmp_path, "--python", _old_python(tmp_path)], "of a Debian package"),
    ]:
        said = _run("sh", build, *arguments)
        assert said.returncode == 2, arguments
        assert message in said.stderr, arguments
