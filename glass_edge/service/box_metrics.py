"""What the box itself shows to Prometheus: warmth, room on its disks, the journal's head, how far adapters are.

Promises: read when somebody asks, in the thread that answers; what cannot be read is missing in that answer and counted
in `glass_edge_unreadable_total`, so that a board can tell it from a zero.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from glass_edge.errors import GlassEdgeError
from glass_edge.events.journal_reader import JournalReader

_THERMAL = Path("/sys/class/thermal")


@dataclass(frozen=True, slots=True)
class AdapterFigures:
    """How an adapter of the station does, as its state file tells.

    Attributes:
        name: of the adapter.
        seq: last event delivered; None: none of this run.
        age_s: age of the state, s.
        is_well: it follows the station.
    """

    name: str
    seq: int | None
    age_s: float
    is_well: bool


class BoxCollector(Collector):
    """Metrics of the box.

    Args:
        journal: file of the station's journal.
        disks: folder to look at, by the name it is shown under.
        adapters: how the station's adapters do; may raise InputError for those that cannot be read.
        thermal: folder of the thermal zones of Linux.
    """

    def __init__(
        self,
        journal: Path,
        disks: Mapping[str, Path],
        adapters: Callable[[], list[AdapterFigures]],
        thermal: Path = _THERMAL,
    ) -> None:
        self._journal = journal
        self._disks = disks
        self._adapters = adapters
        self._thermal = thermal
        self._unreadable = 0

    def describe(self) -> list[Metric]:
        """Nothing is read when the collector is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        for read in (self._events, self._room, self._warmth, self._delivery):
            try:
                families = read()
            except (OSError, GlassEdgeError):
                self._unreadable += 1
            else:
                yield from families
        yield CounterMetricFamily(
            "glass_edge_unreadable", "Readings of the box that failed while somebody asked", value=self._unreadable
        )

    def _events(self) -> list[Metric]:
        with JournalReader(self._journal) as reader:
            extent = reader.extent()
        head = GaugeMetricFamily("glass_edge_journal_head", "Newest event kept", value=extent.head)
        oldest = GaugeMetricFamily("glass_edge_journal_oldest", "Oldest event kept", value=extent.oldest)
        return [head, oldest, _gauge("journal_bytes", "Size of the journal file", self._journal.stat().st_size)]

    def _room(self) -> list[Metric]:
        free = GaugeMetricFamily("glass_edge_disk_free_bytes", "Room left for a program without rights", labels=["of"])
        for name, folder in self._disks.items():
            free.add_metric([name], shutil.disk_usage(folder).free)
        return [free]

    def _warmth(self) -> list[Metric]:
        degrees = GaugeMetricFamily("glass_edge_temperature_celsius", "Warmth of the box", labels=["zone"])
        for zone in sorted(self._thermal.glob("thermal_zone*")):
            name = (zone / "type").read_text(encoding="ascii").strip()
            degrees.add_metric([f"{zone.name}:{name}"], int((zone / "temp").read_text(encoding="ascii")) / 1000)
        return [degrees]

    def _delivery(self) -> list[Metric]:
        seq = GaugeMetricFamily("glass_edge_adapter_seq", "Last event an adapter delivered", labels=["adapter"])
        age = GaugeMetricFamily("glass_edge_adapter_state_age_seconds", "Age of an adapter's state", labels=["adapter"])
        well = GaugeMetricFamily("glass_edge_adapter_following", "1: it follows the station", labels=["adapter"])
        for one in self._adapters():
            if one.seq is not None:
                seq.add_metric([one.name], one.seq)
            age.add_metric([one.name], one.age_s)
            well.add_metric([one.name], float(one.is_well))
        return [seq, age, well]


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"glass_edge_{name}", text, value=value)
