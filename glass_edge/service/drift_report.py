"""The drift of a station's styles, read from its journal.

Promises: the same charts that the station judges by, with its settings; the journal is only read, also while its
station runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glass_edge.config.drift import DriftSettings
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import EngineActivated
from glass_edge.events.schema import Kind
from glass_edge.service.drift_history import DriftHistory, FigureChart
from glass_edge.service.drift_memory import DriftMemory

MOST_ROLLS = 5_000
"""Rolls that are looked at, the newest."""
_MOST_ENGINES = 1_000


@dataclass(frozen=True, slots=True)
class ModelDrift:
    """Charts of a style by one model.

    Attributes:
        model_sha256: of the model.
        version: of its bundle; empty: the journal does not tell it any more.
        threshold_logit: that it decides by; None: the journal does not tell it any more.
        charts: of all figures.
    """

    model_sha256: str
    version: str
    threshold_logit: float | None
    charts: tuple[FigureChart, ...]

    @property
    def name(self) -> str:
        """For a person."""
        return self.version or self.model_sha256[:12]

    @property
    def alarms(self) -> tuple[FigureChart, ...]:
        """Figures that are out of control at their last roll."""
        return tuple(one for one in self.charts if one.is_alarm)


@dataclass(frozen=True, slots=True)
class StyleDrift:
    """Charts of a style by all its models, that of the newest roll last."""

    style: str
    models: tuple[ModelDrift, ...]


def styles_of(reader: JournalReader, settings: DriftSettings, memory: DriftMemory) -> list[StyleDrift]:
    """Charts of all styles, that of the newest roll last.

    Args:
        reader: an open journal.
        settings: table `[drift]` of the station.
        memory: its baselines.

    Raises:
        JournalError: the journal cannot be read. EventFormatError: it holds a document that is no event.
    """
    history = DriftHistory(settings, MOST_ROLLS)
    history.recall(reader, MOST_ROLLS)
    engines = _engines(reader)
    here = memory.in_epoch(reader.epoch)
    styles: dict[str, list[ModelDrift]] = {}
    for key in history.keys:
        version, threshold = engines.get(key.model_sha256, ("", None))
        charts = history.charts(key, here.of(key.style, key.model_sha256))
        models = styles.pop(key.style, [])
        styles[key.style] = [*models, ModelDrift(key.model_sha256, version, threshold, charts)]
    return [StyleDrift(style, tuple(models)) for style, models in styles.items()]


def _engines(reader: JournalReader) -> dict[str, tuple[str, float]]:
    """Version and threshold of each model as it was activated last."""
    found = {}
    for stored in reader.newest_of_kind(Kind.ENGINE_ACTIVATED, _MOST_ENGINES):
        payload = parse_event(stored.document).payload
        if isinstance(payload, EngineActivated):
            found[payload.model_sha256] = payload.version, payload.threshold_logit
    return found


def rolls_in_order(models: Sequence[ModelDrift]) -> list[tuple[int, str]]:
    """All rolls of these models, number of the event and name, in order of time."""
    seen: dict[tuple[int, str], None] = {}
    for model in models:
        for chart in model.charts:
            for one in (*chart.first, *chart.later):
                seen[(one.seq, one.roll_id)] = None
    return sorted(seen, key=lambda roll: roll[0])  # stable: rolls of a journal that is gone keep their order, first
