"""Figures of an evaluation as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from glass_edge.cli.evaluation_run import EvaluationRun
from glass_edge.glass.evaluation import Figures, KindFigures


def print_evaluations(runs: Sequence[EvaluationRun]) -> None:
    """One evaluation, or several side by side (of the same images)."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    names = [f"{run.subject.path} ({run.subject.method})" for run in runs]
    first = runs[0]
    console.print(f"{first.data.folder}: {len(first.evaluation.images)} test images")
    for run, name in zip(runs, names, strict=True):
        for one in run.data.skipped:
            console.print(f"skipped {one.name}: {one.reason}")
        threshold = run.subject.threshold
        console.print(f"{name}: threshold {threshold.logit:.4g}, {threshold.method}")
        if (zone := threshold.selvedge) is not None:
            console.print(
                f"{name}: within {zone.zone_px} px of a selvedge {zone.offset_logit:.4g} higher, {zone.method}"
            )
    table = Table("figure", *names)
    for label, values in _rows([run.figures for run in runs]):
        table.add_row(label, *values)
    console.print(table)
    kinds = Table("defects found (strips)", *names)
    for kind in sorted({kind for run in runs for kind in run.figures.kinds}):
        kinds.add_row(kind, *(_found(run.figures.kinds.get(kind)) for run in runs))
    kinds.add_row("all", *(_found(run.figures.all_kinds) for run in runs))
    console.print(kinds)


def _rows(figures: Sequence[Figures]) -> list[tuple[str, list[str]]]:
    def row(label: str, *names: str) -> tuple[str, list[str]]:
        return label, [" / ".join(_number(getattr(one, name)) for name in names) for one in figures]

    return [
        row("image AUROC / AP", "image_auroc", "image_ap"),
        row("tile AUROC / AP", "tile_auroc", "tile_ap"),
        row("pixel AUROC / AP", "pixel_auroc", "pixel_ap"),
        row("pixel PRO (MVTec, FPR to 0.3)", "pixel_pro"),
        row("region recall", "region_recall"),
        row("false alarms a good strip", "false_alarms_per_good_strip"),
        ("good strips alarmed", [f"{one.good_strips_alarmed} of {one.good_strips}" for one in figures]),
        ("false alarms beside defects", [str(one.false_alarms_defect) for one in figures]),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _found(kind: KindFigures | None) -> str:
    if kind is None:
        return "-"
    unseen = f", {kind.regions_not_scored} where nothing is scored" if kind.regions_not_scored else ""
    return f"{kind.regions_found} of {kind.regions}{unseen} ({kind.strips_found} of {kind.strips})"
