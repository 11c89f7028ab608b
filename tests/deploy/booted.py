"""A Debian that is started with its own systemd as its first process, in namespaces of this machine.

Nothing of it stays: what is written goes to memory. It needs root, systemd-nspawn (package systemd-container) and a
tree of Debian: the one that GLASS_EDGE_ROOTFS names, or one that debootstrap makes from Debian's mirror.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = "systemd,systemd-sysv,dbus,udev,procps,python3,python3-venv,libgomp1"
_ENVIRONMENT = ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]


def debian_tree(folder: Path) -> Path:
    """The tree to boot; skips with what is missing."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("systemd-nspawn") is None:
        pytest.skip("needs systemd-nspawn of the package systemd-container")
    if (given := os.environ.get("GLASS_EDGE_ROOTFS")) is not None:
        return Path(given)
    if shutil.which("debootstrap") is None:
        pytest.skip("needs debootstrap, or GLASS_EDGE_ROOTFS with a tree that it made")
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(folder / "rootfs")]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"debootstrap made no tree: {made.stdout[-300:]}")
    return folder / "rootfs"


def wheels_of_this_checkout(folder: Path) -> Path:
    """A folder of wheels as the how-to makes it; GLASS_EDGE_WHEELS names one that is there."""
    if (given := os.environ.get("GLASS_EDGE_WHEELS")) is not None:
        return Path(given)
    if sys.version_info[:2] != (3, 11):
        pytest.skip("needs Python 3.11, whose wheels Debian 12 can use, or GLASS_EDGE_WHEELS")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder / "wheels"), str(ROOT)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"pip made no wheels: {made.stderr[-300:]}")
    return folder / "wheels"


class Booted:
    """The running Debian; a context manager that turns it off.

    Args:
        tree: of Debian; it is not written to.
        log: file that its journal is kept in.
        folders: of this machine, by the place at which they are seen.
    """

    def __init__(self, tree: Path, log: Path, folders: dict[str, Path]) -> None:
        binds = [f"--bind-ro={folder}:{place}" for place, folder in folders.items()]
        self._log = log
        self._process = subprocess.Popen(
            [
                *["systemd-nspawn", "--quiet", f"--directory={tree}", "--volatile=overlay", "--boot"],
                *["--register=no", "--keep-unit", f"--machine=glass-edge-{os.getpid()}", "--console=pipe", *binds],
            ],
            stdin=subprocess.DEVNULL,
            stdout=(log.parent / "console.txt").open("w"),
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        try:
            self.eventually(lambda: self.ask("systemctl", "is-system-running") in ("running", "degraded"), "boot", 60)
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.write_text(self.ask("journalctl", "--boot", "--no-pager", "--output=short-precise"))
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, *command: object, may_fail: bool = True) -> str:
        """Standard output of a command inside, without space around it."""
        leader = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=False)
        pid = leader.stdout.split()
        if not pid:
            assert self._process.poll() is None, (self._log.parent / "console.txt").read_text()
            return ""
        enter = ["nsenter", "-t", pid[0], "-m", "-u", "-i", "-n", "-p", "-C", "env", "-i", *_ENVIRONMENT]
        said = subprocess.run(
            [*enter, *map(str, command)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        if not may_fail:
            assert said.returncode == 0, f"{command}: {said.stdout}{said.stderr}{self.tail()}"
        return said.stdout.strip()

    def do(self, *command: object) -> str:
        """The same of a command that must succeed."""
        return self.ask(*command, may_fail=False)

    def fails(self, *command: object) -> bool:
        """Whether a command inside fails."""
        return self.ask("sh", "-c", '"$@" >/dev/null 2>&1 && echo worked', "sh", *command) != "worked"

    def show(self, unit: str, *names: str) -> list[str]:
        """Properties of a unit, in the order of their names."""
        said = self.ask("systemctl", "show", unit, *(f"--property={name}" for name in names))
        values = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        return [values[name] for name in names]

    def tail(self, lines: int = 40) -> str:
        """The end of the journal."""
        return self.ask("journalctl", "--no-pager", f"--lines={lines}")

    def eventually(self, condition: Callable[[], bool], what: str, within_s: float) -> None:
        """Wait until something is so."""
        until = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < until, f"never came: {what}\n{self.tail()}"
            time.sleep(0.3)


def lines_of(text: str, words: Sequence[str]) -> list[str]:
    """The lines of `text` that hold all of `words`."""
    return [line for line in text.splitlines() if all(word in line for word in words)]
