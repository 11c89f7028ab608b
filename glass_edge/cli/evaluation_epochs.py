"""What another epoch would have given: the price of choosing without labels.

Promises: every kept epoch is evaluated like the checkpoint, with a threshold of its own from held-out good cloth; the
checkpoint is never changed and no epoch is proposed: what the test images would have chosen is told to know the price,
and figures of such a choice say nothing about cloth that is not in the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from glass_edge.cli.evaluation_report import number, table_console
from glass_edge.cli.evaluation_run import Tick, evaluate
from glass_edge.cli.evaluation_subject import open_subject
from glass_edge.cli.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, can_plot, plot
from glass_edge.cli.training_metrics import read_metrics
from glass_edge.errors import InputError
from glass_edge.files import csv_bytes, make_folder, write_bytes, write_json
from glass_edge.glass.checkpoint import load_info
from glass_edge.glass.epoch_heads import kept_epochs
from glass_edge.glass.evaluation_figures import YARDSTICK_NOTE, Figures
from glass_edge.glass.metrics_froc import YARDSTICKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RESULT_NAME = "evaluation-epochs.json"
TABLE_NAME = "evaluation-epochs.csv"
PICTURE_NAME = "evaluation-epochs.png"
_YARDSTICK = YARDSTICKS[0]
_MOST_TICKS = 20
_MEASURES: dict[str, Callable[[Figures], float | None]] = {
    "image AUROC": lambda figures: figures.image_auroc,
    "tile AUROC": lambda figures: figures.tile_auroc,
    "tile AP": lambda figures: figures.tile_ap,
    "pixel PRO": lambda figures: figures.pixel_pro,
    "recall *": lambda figures: figures.recall_at(_YARDSTICK),
    "image + pixel AUROC **": lambda figures: _sum(figures.image_auroc, figures.pixel_auroc),
}
_LABELS = {"recall *": "recall at 1 false alarm\nin 20 good strips"}
_NOTES = (
    f"*: of regions, at 1 false alarm in 20 good strips; {YARDSTICK_NOTE}",
    "**: by which the authors' program chooses its epoch, on the test images",
)


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """An epoch.

    Attributes:
        epoch: from 1; 0: before the first step.
        selection: what held-out cloth said of it; None when it was not asked.
        figures: what labels say of it.
    """

    epoch: int
    selection: float | None
    figures: Figures


@dataclass(frozen=True, slots=True)
class Price:
    """What the choice cost in one figure.

    Attributes:
        figure: its name.
        chosen: its value at the epoch of the checkpoint.
        best_epoch, best: what the labels would have chosen by it; the checkpoint's own where it is among the best.
    """

    figure: str
    chosen: float
    best_epoch: int
    best: float

    @property
    def price(self) -> float:
        """Difference; 0 when the choice was the best by this figure."""
        return self.best - self.chosen


@dataclass(frozen=True, slots=True)
class EpochsReport:
    """All kept epochs of a run.

    Attributes:
        run_folder: of the run.
        data: labelled folder.
        select: how the epoch was chosen.
        chosen: epoch of the checkpoint.
        epochs: ascending.
    """

    run_folder: Path
    data: Path
    select: str
    chosen: int
    epochs: tuple[EpochFigures, ...]

    def prices(self) -> list[Price]:
        """A price for each figure that is defined."""
        own = next(one for one in self.epochs if one.epoch == self.chosen)
        found = []
        for name, measure in _MEASURES.items():
            here = measure(own.figures)
            if here is None:
                continue
            # a tie goes to the checkpoint, then to the earliest
            values = [(measure(one.figures) or 0.0, one.epoch == self.chosen, -one.epoch) for one in self.epochs]
            best, _, epoch = max(values)
            found.append(Price(name, here, -epoch, best))
        return found

    def document(self) -> dict[str, Any]:
        """Content of `evaluation-epochs.json`."""
        return {
            "run_folder": str(self.run_folder),
            "data": str(self.data),
            "select": self.select,
            "chosen_epoch": self.chosen,
            "epochs": [
                {"epoch": one.epoch, "selection": one.selection, "figures": one.figures.document()}
                for one in self.epochs
            ],
            "prices": [
                {
                    "figure": one.figure,
                    "chosen": one.chosen,
                    "best": one.best,
                    "best_epoch": one.best_epoch,
                    "price": one.price,
                }
                for one in self.prices()
            ],
        }


def evaluate_epochs(run_folder: Path, data: Path | None, threshold_images: Path | None, tick: Tick) -> EpochsReport:
    """Evaluate each kept epoch.

    Args:
        run_folder: with `epochs/`.
        data, threshold_images: as for `open_subject`.
        tick: told after each epoch how many of how many are done.

    Raises:
        InputError: no epochs are kept, or as `evaluate` and `open_subject`.
    """
    epochs = kept_epochs(run_folder)
    if not epochs:
        raise InputError(
            f"{run_folder}: no epochs are kept in it; give a run folder that was trained with training.keep_epochs "
            "above 0 (not with the method 'mahalanobis')"
        )
    recipe, info = load_info(run_folder)
    selection = read_metrics(run_folder).column("selection")
    found, place = [], data or recipe.data.folder
    wanted = sorted({*epochs, info.epoch})
    for done, epoch in enumerate(wanted, start=1):
        kept = None if epoch == info.epoch else epoch  # the checkpoint itself, should its head not be among the kept
        with open_subject(run_folder, data=data, threshold_images=threshold_images, epoch=kept) as subject:
            run = evaluate(subject, data, lambda done, total: None, intervals=False)
        found.append(EpochFigures(epoch, selection.get(epoch), run.figures))
        tick(done, len(wanted))
    return EpochsReport(run_folder, place, recipe.training.select, info.epoch, tuple(found))


def write_epochs(report: EpochsReport, out: Path, say: Callable[[str], None]) -> list[Path]:
    """Write JSON, a table and, with the extra `report`, a picture into `out`; returns the paths."""
    make_folder(out)
    files = [out / RESULT_NAME, out / TABLE_NAME]
    write_json(files[0], report.document())
    rows: list[list[object]] = [["epoch", "is_chosen", "selection", *(_column(name) for name in _MEASURES)]]
    for one in report.epochs:
        values = [one.selection, *(measure(one.figures) for measure in _MEASURES.values())]
        rows.append([one.epoch, int(one.epoch == report.chosen), *(_plain(value) for value in values)])
    write_bytes(files[1], csv_bytes(rows))
    if can_plot(say):
        files.append(out / PICTURE_NAME)
        panels = 2 if any(one.selection is not None for one in report.epochs) else 1
        write_bytes(files[-1], plot((8.0, 1.0 + 2.8 * panels), (panels, 1), partial(_draw, report)))
    return files


def print_epochs(report: EpochsReport) -> None:
    """Tables on standard output."""
    console = table_console()
    console.print(f"{report.data}: {len(report.epochs)} kept epochs of {report.run_folder}")
    table = Table("epoch", "held out", *_MEASURES, "recall, own threshold", "false alarms a good strip")
    for one in report.epochs:
        figures = one.figures
        values = [measure(figures) for measure in _MEASURES.values()]
        rest = [figures.region_recall, figures.false_alarms_per_good_strip]
        name = f"{one.epoch} (chosen)" if one.epoch == report.chosen else str(one.epoch)
        table.add_row(name, number(one.selection), *(number(value) for value in (*values, *rest)))
    console.print(table)
    how = "the last one" if report.select == "last" else "by held-out good cloth and synthetic defects"
    console.print(f"the checkpoint is epoch {report.chosen}, chosen {how}; the test images would have chosen")
    prices = Table("by", "epoch", "its figure", f"epoch {report.chosen} has", "price of honesty")
    for price in report.prices():
        prices.add_row(
            price.figure, str(price.best_epoch), number(price.best), number(price.chosen), number(price.price)
        )
    console.print(prices)
    for note in _NOTES:
        console.print(note)


def _draw(report: EpochsReport, _: Figure, axes: list[Axes]) -> None:
    epochs = [one.epoch for one in report.epochs]
    for name, colour in zip(list(_MEASURES)[:5], (GREEN, BLUE, PURPLE, GREY, ORANGE), strict=True):
        values = [_MEASURES[name](one.figures) for one in report.epochs]
        shown = [float("nan") if value is None else value for value in values]
        axes[0].plot(epochs, shown, "-o", markersize=3.5, color=colour, label=_LABELS.get(name, name))
    axes[0].set_title("Test images: what labels say (they choose nothing)")
    for panel in axes[1:]:
        shown = [float("nan") if one.selection is None else one.selection for one in report.epochs]
        panel.plot(epochs, shown, "-o", markersize=3.5, color="black", label="measure that chooses")
        panel.set_title("Held-out good cloth and synthetic defects, without labels")
    for panel in axes:
        panel.axvline(report.chosen, color=RED, linewidth=1, label=f"checkpoint: epoch {report.chosen}")
        panel.set_xticks(epochs if len(epochs) <= _MOST_TICKS else epochs[:: -(-len(epochs) // _MOST_TICKS)])
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes[-1].set_xlabel("epoch")


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _column(name: str) -> str:
    return name.rstrip(" *").lower().replace(" + ", "_plus_").replace(" ", "_")


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
