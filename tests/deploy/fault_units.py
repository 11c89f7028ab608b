"""What systemd does for the suite of faults: processes that are started again after an unclean end.

The pause and the start limit are those of the units in deploy/systemd, so that the times that are measured are theirs.
"""

from __future__ import annotations

import configparser
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
_UNIT_S = {"min": 60.0, "ms": 0.001, "s": 1.0}


def seconds(text: str) -> float:
    """A time span as systemd writes it, of one number."""
    for unit, factor in _UNIT_S.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


class Unit:
    """A service: started again whenever it ends with anything but 0, until it is taken down.

    Args:
        name: of its log.
        file: unit in deploy/systemd.
        command: arguments of `glass-edge`.
        folder: for its log.
        environment: on top of this process's own.
        restart_s: pause before it is started again; None: the unit's.
    """

    def __init__(  # noqa: PLR0917
        self,
        name: str,
        file: str,
        command: list[str],
        folder: Path,
        environment: dict[str, str] | None = None,
        restart_s: float | None = None,
    ) -> None:
        parser = configparser.RawConfigParser(strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(UNITS / file)
        assert parser["Service"]["Restart"] == "on-failure"
        self.name, self.log = name, folder / f"{name}.log"
        self.restart_s = seconds(parser["Service"]["RestartSec"]) if restart_s is None else restart_s
        self._limit_s = seconds(parser["Unit"]["StartLimitIntervalSec"])
        self._limit = int(parser["Unit"]["StartLimitBurst"])
        self._begun_s: deque[float] = deque(maxlen=self._limit)
        self._command = [sys.executable, "-m", "glass_edge.cli", *command]
        self._environment = os.environ | {"PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1"} | (environment or {})
        self._environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        self._wanted = threading.Event()
        self._over = threading.Event()
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self.ends: list[int] = []
        """Exit codes, in order."""
        self.is_failed = False
        """It reached the start limit and stays down."""
        self._thread = threading.Thread(target=self._supervise, name=f"unit {name}", daemon=True)

    def start(self) -> None:
        """As `systemctl start`."""
        if not self._thread.is_alive():
            self._thread.start()
        self._begun_s.clear()
        self._wanted.set()

    def stop(self, by: int = signal.SIGTERM) -> int | None:
        """As `systemctl stop`, or a kill after which it is not started again; its exit code."""
        self._wanted.clear()
        count = len(self.ends)
        process = self._process
        if process is None:
            return None
        process.send_signal(by)
        until_s = time.monotonic() + 60
        while len(self.ends) == count and self._process is not None:
            if time.monotonic() > until_s:
                process.kill()
                raise AssertionError(f"{self.name} does not end:\n{self.tail()}")
            time.sleep(0.02)
        return self.ends[-1] if len(self.ends) > count else None

    def kill(self, by: int = signal.SIGKILL) -> None:
        """Send a signal to the process; it is started again if it dies of it."""
        if (process := self._process) is not None:
            process.send_signal(by)

    def end(self) -> None:
        """No more of it."""
        self._over.set()
        self._wanted.set()
        if (process := self._process) is not None:
            process.kill()
        if self._thread.is_alive():
            self._thread.join(30)

    @property
    def pid(self) -> int | None:
        """Of the running process; None between two."""
        process = self._process
        return None if process is None else process.pid

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _supervise(self) -> None:
        while True:
            self._wanted.wait()
            if self._over.is_set():
                return
            now_s = time.monotonic()
            if len(self._begun_s) == self._limit and now_s - self._begun_s[0] < self._limit_s:
                self.is_failed = True
                self._wanted.clear()
                continue
            self._begun_s.append(now_s)
            with self.log.open("ab") as log:
                process = subprocess.Popen(
                    self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
                )
            self._process = process
            if self._over.is_set() or not self._wanted.is_set():
                process.kill()
            code = process.wait()
            self._process = None
            self.ends.append(code)
            if code == 0:
                self._wanted.clear()
            elif self._wanted.is_set():
                self._over.wait(self.restart_s)
