"""Figures of an evaluation as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table

from glass_edge.cli.evaluation_run import EvaluationRun
from glass_edge.glass.evaluation_figures import YARDSTICK_NOTE, Figures, KindFigures
from glass_edge.glass.metrics_bootstrap import DRAWS, LEVEL
from glass_edge.glass.metrics_froc import YARDSTICKS
from glass_edge.glass.metrics_pro import REFERENCE_PRO_NAME

_WIDTH = 200
_YARDSTICK_NAMES = {0.05: "1 false alarm in 20 good strips", 1.0: "1 false alarm a good strip"}


def print_evaluations(runs: Sequence[EvaluationRun]) -> None:
    """One evaluation, or several side by side (of the same images)."""
    console = table_console()
    first = runs[0]
    console.print(f"{first.data.folder}: {len(first.evaluation.images)} test images")
    for run in runs:
        for one in run.data.skipped:
            console.print(f"skipped {one.name}: {one.reason}")
        threshold = run.subject.threshold
        console.print(f"{run.name}: threshold {threshold.logit:.4g}, {threshold.method}")
        if (zone := threshold.selvedge) is not None:
            console.print(
                f"{run.name}: within {zone.zone_px} px of a selvedge {zone.offset_logit:.4g} higher, {zone.method}"
            )
    names = [run.name for run in runs]
    table = Table("figure", *names)
    for label, values in _rows([run.figures for run in runs]):
        table.add_row(label, *values)
    console.print(table)
    if any(run.figures.intervals for run in runs):
        console.print(f"( ): {LEVEL:.0%} of {DRAWS} draws of the images, good and defective ones apart")
    if any(run.figures.yardsticks for run in runs):
        console.print(f"*: {YARDSTICK_NOTE}")
    for run in runs:
        console.print(_kinds(run))


def table_console() -> Console:
    """Standard output; as wide as the tables need where it is no terminal."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, markup=False, soft_wrap=True, width=_WIDTH)


def number(value: float | None) -> str:
    """A figure, '-' when it is not defined."""
    return "-" if value is None else f"{value:.4f}"


def _rows(figures: Sequence[Figures]) -> list[tuple[str, list[str]]]:
    def row(label: str, *names: str) -> tuple[str, list[str]]:
        return label, [" / ".join(_with_interval(one, name) for name in names) for one in figures]

    def yardstick(wanted: float) -> tuple[str, list[str]]:
        return f"region recall at {_YARDSTICK_NAMES[wanted]} *", [_at(one, wanted) for one in figures]

    return [
        row("image AUROC / AP", "image_auroc", "image_ap"),
        row("tile AUROC / AP", "tile_auroc", "tile_ap"),
        row("pixel AUROC / AP", "pixel_auroc", "pixel_ap"),
        row("pixel PRO (MVTec, FPR to 0.3)", "pixel_pro"),
        row(REFERENCE_PRO_NAME, "pixel_pro_reference"),
        row("region recall", "region_recall"),
        row("false alarms a good strip", "false_alarms_per_good_strip"),
        ("good strips alarmed", [f"{one.good_strips_alarmed} of {one.good_strips}" for one in figures]),
        ("share of good cloth alarmed", [_percent(one.good_share_alarmed) for one in figures]),
        ("false alarms beside defects", [str(one.false_alarms_defect) for one in figures]),
        *(yardstick(wanted) for wanted in YARDSTICKS),
    ]


def _at(figures: Figures, wanted: float) -> str:
    for one in figures.yardsticks:
        if one.false_alarms_per_good_strip == wanted:
            return f"{number(figures.recall_at(wanted))} ({one.false_alarms} on {figures.good_strips} strips)"
    return "-"


def _with_interval(figures: Figures, name: str) -> str:
    interval = figures.intervals.get(name)
    text = number(getattr(figures, name))
    return text if interval is None else f"{text} ({interval.low:.3f}-{interval.high:.3f})"


def _percent(share: float | None, digits: int = 3) -> str:
    return "-" if share is None else f"{share:.{digits}%}"


def _kinds(run: EvaluationRun) -> Table:
    figures = run.figures
    headings = [f"at {wanted:g} a strip *" for wanted in YARDSTICKS] if figures.yardsticks else []
    table = Table(
        Column("kind of defect", no_wrap=True),
        "regions found",
        "recall",
        "strips found",
        "image AUROC",
        "tile AUROC",
        *headings,
        title=run.name,
        title_justify="left",
    )
    for kind, one in [*sorted(figures.kinds.items()), ("all", figures.all_kinds)]:
        table.add_row(kind, *_cells(one), end_section=len(figures.kinds) > 0 and kind == sorted(figures.kinds)[-1])
    return table


def _cells(kind: KindFigures) -> list[str]:
    unseen = f", {kind.regions_not_scored} where nothing is scored" if kind.regions_not_scored else ""
    return [
        f"{kind.regions_found} of {kind.regions}{unseen}",
        _percent(kind.region_recall, 1),
        f"{kind.strips_found} of {kind.strips}",
        number(kind.image_auroc),
        number(kind.tile_auroc),
        *(f"{found} of {kind.regions}" for found in kind.found_at),
    ]
