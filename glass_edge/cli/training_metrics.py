"""`metrics.csv` of a run folder, read back.

Promises: columns are found by name, also those of later versions; an empty cell is no value.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from glass_edge.errors import InputError
from glass_edge.glass.run_folder import METRICS_NAME


@dataclass(frozen=True, slots=True)
class TrainingMetrics:
    """Figures of the epochs.

    Attributes:
        rows: by epoch, ascending; figures by name.
    """

    rows: dict[int, dict[str, float]]

    def column(self, name: str) -> dict[int, float]:
        """Values of a figure by epoch; only epochs that have one."""
        return {epoch: row[name] for epoch, row in self.rows.items() if name in row}

    @property
    def names(self) -> list[str]:
        """Figures that any epoch has, in the file's order."""
        return list(dict.fromkeys(name for row in self.rows.values() for name in row))


def read_metrics(run_folder: Path) -> TrainingMetrics:
    """Read `metrics.csv`; without one (nothing was trained) there are no epochs.

    Raises:
        InputError: the file is damaged.
    """
    path = run_folder / METRICS_NAME
    if not path.is_file():
        return TrainingMetrics({})
    rows: dict[int, dict[str, float]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                epoch = int(row.pop("epoch"))
                rows[epoch] = {name: float(value) for name, value in row.items() if value}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not the table of a training run ({error}); restore it from a backup") from error
    return TrainingMetrics(dict(sorted(rows.items())))
