"""Some of the looms of `many_looms.py`: real journals and publishers, and an MQTT and an SQL adapter for each.

Commands come on stdin, a line of JSON each, and are answered by one on stdout:
- {"per_min": N}: events a loom and minute from now on;
- {"at_once": N}: each loom tells N events now;
- {"state": true}: newest events, what the adapters delivered, and their failed tries.
The end of stdin is the end.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from glass_edge.adapters.dead_letters import DeadLetters
from glass_edge.adapters.mqtt import MqttSink
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.adapters.runner import Runner
from glass_edge.adapters.sink import Sink
from glass_edge.adapters.sql import SqlSink
from glass_edge.adapters.status_file import StatusFile
from glass_edge.cli.log_output import log_to_stderr
from glass_edge.config.adapter_mqtt import MqttAdapterSettings
from glass_edge.config.adapter_sql import SqlAdapterSettings
from glass_edge.config.adapters import AdapterSettings
from glass_edge.config.events import EventSettings
from glass_edge.events.client import EventClient
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.payloads import StationState
from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Draft
from glass_edge.fabric.defect import Defect, DefectPhase, DefectShape
from glass_edge.fabric.geometry import WebBox, WebScale, to_mm
from glass_edge.fabric.roll import Roll

_SCALE = WebScale(mm_per_px=0.1, mm_per_line=0.1)
_BEACON_S = 4.0  # four times the default, for the sake of this machine's cores
_STATUS_PART = 0.5  # of the events; the rest are defects that begin, grow and end


class QuietStatus(StatusFile):
    """The state of an adapter without its file, which 600 adapters of one machine would write each second."""

    def write(self) -> None:
        """Not here."""


class Loom:
    """A station that tells what one tells: figures, and defects on an open roll."""

    def __init__(self, folder: Path, number: int, stack: ExitStack) -> None:
        self.name = f"loom-{number:03}"
        self.folder = folder / f"{number:03}"
        self.folder.mkdir()
        self._chance = random.Random(number)
        self._lines = 0
        self._defects = 0
        self._open: list[tuple[int, DefectPhase]] = []
        self._roll = Roll(roll_id=f"{self.name}-1", style="twill", first_line=0)
        self._maker = DraftMaker(self._roll, _SCALE, is_simulated=True)
        settings = EventSettings(
            journal=self.folder / "journal",
            publish_endpoint=f"ipc://{self.folder}/pub",
            request_endpoint=f"ipc://{self.folder}/req",
            beacon_s=_BEACON_S,
        )
        self.publisher = stack.enter_context(Publisher(settings, self.name))
        self.head = self.publisher.emit(self._maker.roll_start()).seq
        self.statuses: dict[str, StatusFile] = {}

    def tell(self, count: int = 1) -> None:
        """Some events more."""
        self.head = self.publisher.emit_all([self._draft() for _ in range(count)])[-1].seq

    def _draft(self) -> Draft:
        self._lines += 5000
        if self._chance.random() < _STATUS_PART:
            return self._maker.status(StationState.CONTINUOUS_EXECUTION, roll_lines=self._lines)
        if not self._open:
            self._defects += 1
            self._open = [(self._defects, phase) for phase in (DefectPhase.END, DefectPhase.UPDATE, DefectPhase.NEW)]
        number, phase = self._open.pop()
        left = self._chance.randrange(0, 9000)
        box = WebBox(left_px=left, right_px=left + 40, first_line=self._lines, end_line=self._lines + 60)
        box_mm = to_mm(box, _SCALE, left_selvedge_px=0, roll_first_line=0)
        return self._maker.defect(Defect(number, phase, DefectShape.POINT, box, box_mm, 1.5, 0.97, 0.8, 3.5))

    def common(self, kind: str) -> dict[str, Any]:
        """What the file of an adapter of this loom holds besides its kind's table."""
        return {
            "adapter": kind,
            "source": {
                "station": self.name,
                "publish_endpoint": f"ipc://{self.folder}/pub",
                "request_endpoint": f"ipc://{self.folder}/req",
            },
            "state": {"folder": self.folder / kind},
        }


def run_adapter(loom: Loom, settings: AdapterSettings, sink: Sink, stop: threading.Event) -> threading.Thread:
    """What the command `adapter` does, in a thread."""
    log, folder = RepeatedLog(f"{loom.name} {settings.adapter}"), settings.state.folder
    status = QuietStatus(folder / "status.json", settings.adapter, lambda text: log.tell("status", text))
    loom.statuses[settings.adapter] = status

    def run() -> None:
        source = settings.source
        with (
            EventClient(
                source.publish_endpoint,
                source.request_endpoint,
                station=source.station,
                offset_path=folder / "offset.json",
            ) as client,
            closing(sink),
        ):
            letters = DeadLetters(folder / "dead-letters.jsonl", 1 << 20)
            Runner(client, sink, letters=letters, status=status, log=log, retry=settings.retry, stop=stop).run()

    thread = threading.Thread(target=run, name=f"{loom.name} {settings.adapter}")
    thread.start()
    return thread


class Weaver(threading.Thread):
    """Has each loom tell its events at random moments of a rate."""

    def __init__(self, looms: list[Loom]) -> None:
        super().__init__(daemon=True)
        self._looms = looms
        self._chance = random.Random(looms[0].name)
        self._lock = threading.Condition()
        self._per_s = 0.0
        self._due: list[tuple[float, int]] = []

    def set_rate(self, per_min: float) -> None:
        """Events a loom and minute from now on."""
        with self._lock:
            self._per_s = per_min / 60
            now = time.monotonic()
            self._due = [(now + self._pause_s(), index) for index in range(len(self._looms))] if per_min else []
            heapq.heapify(self._due)
            self._lock.notify()

    def at_once(self, count: int) -> None:
        """Each loom tells `count` events now."""
        with self._lock:
            for loom in self._looms:
                loom.tell(count)

    def _pause_s(self) -> float:
        return self._chance.expovariate(self._per_s)

    def run(self) -> None:
        """Tell events until the process ends."""
        with self._lock:
            while True:
                if not self._due:
                    self._lock.wait()
                    continue
                left_s = self._due[0][0] - time.monotonic()
                if left_s > 0:
                    self._lock.wait(left_s)
                    continue
                _, index = heapq.heappop(self._due)
                self._looms[index].tell()
                heapq.heappush(self._due, (time.monotonic() + self._pause_s(), index))


def main() -> None:
    """Serve until stdin ends."""
    log_to_stderr()  # stdout is for answers
    order = json.loads(sys.stdin.readline())
    stop = threading.Event()
    with ExitStack() as stack:
        looms = [Loom(Path(order["folder"]), number, stack) for number in order["looms"]]
        threads = []
        for loom in looms:
            mqtt = MqttAdapterSettings.model_validate(
                loom.common("mqtt") | {"mqtt": {"broker": order["broker"], "ca_file": order["ca"], "prefix": "mill"}}
            )
            sql = SqlAdapterSettings.model_validate(
                loom.common("sql") | {"sql": {"url": order["database"], "sslmode": "disable"}}
            )
            for settings in (mqtt, sql):
                settings.state.folder.mkdir()
            log = RepeatedLog(loom.name)
            threads.append(run_adapter(loom, mqtt, MqttSink(mqtt, log), stop))
            threads.append(run_adapter(loom, sql, SqlSink(sql.sql, sql.adapter), stop))
        weaver = Weaver(looms)
        weaver.start()
        print(json.dumps({"ready": len(looms)}), flush=True)
        for line in sys.stdin:
            command = json.loads(line)
            if "per_min" in command:
                weaver.set_rate(command["per_min"])
            if "at_once" in command:
                weaver.at_once(command["at_once"])
            states = {kind: [loom.statuses[kind].now for loom in looms] for kind in ("mqtt", "sql")}
            answer: dict[str, Any] = {"heads": {loom.name: [loom.publisher.epoch, loom.head] for loom in looms}}
            for kind, found in states.items():
                answer[kind] = [
                    {
                        "seq": now.seq or 0,
                        "retries": now.retries,
                        "state": now.state,
                        "trouble": "" if now.last_error is None else now.last_error.text,
                    }
                    for now in found
                ]
            print(json.dumps(answer), flush=True)
        weaver.set_rate(0)
        stop.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
