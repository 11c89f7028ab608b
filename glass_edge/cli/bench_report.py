"""What `glass-edge bench` measured, for a person."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_report(report: dict[str, Any]) -> None:
    """Tables on standard output."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    machine, engine = report["machine"], report["engine"]
    height, width, channels = report["tile_px"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    console.print(f"{report['bundle']}: {report['backbone']}, tiles of {height} x {width} px, {channels} channel(s)")
    console.print(
        f"machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}"
    )
    console.print(f"versions: {versions}")
    console.print(f"engine: {engine['runtime']} {engine['precision']}, {engine['threads']} threads")
    table = Table("batch", "tiles/s", "p50 ms", "p95 ms", "p99 ms", "max ms", title="engine")
    for one in report["figures"]:
        latencies = (f"{one[f'latency_{name}_ms']:.2f}" for name in ("p50", "p95", "p99", "max"))
        table.add_row(str(one["batch"]), f"{one['tiles_per_s']:.1f}", *latencies)
    console.print(table)
    if report["comparisons"]:
        table = Table("batch", "engine tiles/s", "PyTorch tiles/s", "ratio", "rounds", "largest logit difference")
        table.title = "engine beside the unfused PyTorch graph, in turn"
        for one in report["comparisons"]:
            table.add_row(
                str(one["batch"]),
                f"{one['engine_tiles_per_s']:.1f}",
                f"{one['reference_tiles_per_s']:.1f}",
                f"{one['ratio']:.2f} ({one['ratio_low']:.2f} to {one['ratio_high']:.2f})",
                str(one["rounds"]),
                f"{one['max_abs_logit_difference']:.2g}",
            )
        console.print(table)
    if report["arithmetic"] is not None:
        _print_arithmetic(report["arithmetic"], console)
    if report["pipeline"] is not None:
        _print_pipeline(report["pipeline"], console)


def _print_arithmetic(one: dict[str, Any], console: Console) -> None:
    console.print(
        f"arithmetic: {one['gflop_per_tile']:.2f} GFLOP a tile, {one['gflop_per_s']:.0f} GFLOP/s at best, "
        f"{100 * one['share_of_peak']:.0f} % of the {one['peak_gflop_per_s']:.0f} GFLOP/s that square products reach "
        f"here in {one['precision']}"
    )


def _print_pipeline(one: dict[str, Any], console: Console) -> None:
    console.print(
        f"whole pipeline, in turn with the engine alone: {one['pipeline_tiles_per_s']:.1f} of "
        f"{one['engine_tiles_per_s']:.1f} tiles/s, {100 * one['ratio']:.1f} % "
        f"({100 * one['ratio_low']:.1f} to {100 * one['ratio_high']:.1f} in {one['rounds']} rounds), "
        f"{one['defects']} defects a round; memory {one['memory_growth_mb']:+.1f} MB from the first round to the last"
    )
    web = one["web"]
    console.print(
        f"web: cloth of {web['width_mm']:g} mm at {web['mm_per_px']:g} mm/px takes {web['tile_columns']} tiles for "
        f"{web['advance_lines']} lines: {web['m_per_min']:.2f} m/min"
    )
