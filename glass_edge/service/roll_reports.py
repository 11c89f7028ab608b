"""A report at the end of every roll.

Promises: the inspection never waits for a report; reports are made one after the other; at most `MOST_WAITING` rolls
wait, and what is left out or fails is told by its roll; closing waits for the last one for a stated time.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.sink import QuietSink
from glass_edge.service.report_job import ReportOrder, safe_name

MOST_WAITING = 8
_LONGEST_S = 600.0


class RollReports:
    """Makes reports in the background.

    Args:
        journal: of the station.
        crops: folder of the pictures of defects.
        folder: where the reports go, a folder each.
        tell: told a sentence where a report could not be made; called in a thread of its own.
    """

    def __init__(self, journal: Path, crops: Path, folder: Path, tell: Callable[[str], None]) -> None:
        self._journal, self._crops, self._folder, self._tell = journal, crops, folder, tell
        self._orders: queue.Queue[ReportOrder | None] = queue.Queue(MOST_WAITING + 1)
        self._process: subprocess.Popen[str] | None = None
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._work, name="roll-reports", daemon=True)
        self._thread.start()

    def ask(self, roll_id: str, table: str) -> Path | None:
        """Make the report of a roll that has ended; returns its folder, None where too many wait."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        out = self._folder / f"{safe_name(roll_id)}-{stamp}"
        if self._orders.qsize() >= MOST_WAITING:
            self._tell(f"roll {roll_id}: {MOST_WAITING} reports wait, this one is left out; make it with 'report'")
            return None
        self._orders.put(ReportOrder(str(self._journal), roll_id, str(out), str(self._crops), table))
        return out

    def close(self, timeout_s: float) -> None:
        """Wait for what was asked for; what is not there after `timeout_s` is given up, and told."""
        self._orders.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._given_up.set()
            if (process := self._process) is not None:
                with contextlib.suppress(OSError):
                    process.kill()
            self._thread.join()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            problem = "the station stopped before it was made" if self._given_up.is_set() else self._make(order)
            if problem:
                self._tell(f"roll {order.roll_id}: no report: {problem}; make it with 'glass-edge report'")

    def _make(self, order: ReportOrder) -> str:
        """Why it could not be made; empty when it was."""
        command = [sys.executable, "-m", "glass_edge.service.report_job"]
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
        except OSError as error:
            return str(error)
        self._process = process
        try:
            _, said = process.communicate(order.to_json(), timeout=_LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return f"it took longer than {_LONGEST_S:g} s"
        finally:
            self._process = None
        if process.returncode == 0:
            return ""
        if self._given_up.is_set():
            return "the station stopped before it was made"
        lines = said.strip().splitlines()
        return lines[-1] if lines else f"its process ended with {process.returncode}"


class ReportSink(QuietSink):
    """Asks for a report of each roll that ended."""

    def __init__(self, reports: RollReports, table: str) -> None:
        self._reports, self._table = reports, table

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        """Ask, where cloth was woven."""
        if totals.lines_woven:
            self._reports.ask(roll.roll_id, self._table)
