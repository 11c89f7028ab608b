"""What a bundle is, for people.

Promises: everything the manifest holds is shown, the evidence beside the figure that rests on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from glass_edge.engine.bundle import Bundle
    from glass_edge.engine.manifest import Manifest, ParityResult, PromiseSpec, ThresholdSpec

_LABEL_WIDTH = 18


def print_bundle(bundle: Bundle) -> None:
    """Print a loaded bundle: a label and its lines."""
    for label, lines in _rows(bundle):
        for number, line in enumerate(lines):
            typer.echo(f"{'' if number else label:{_LABEL_WIDTH}} {line}")


def _rows(bundle: Bundle) -> Iterator[tuple[str, list[str]]]:
    manifest, tile = bundle.manifest, bundle.manifest.tile
    yield "bundle", [str(bundle.folder)]
    yield "style, version", [f"{manifest.style} {manifest.version}"]
    yield "created (UTC)", [manifest.created_utc]
    yield "program", [f"glass-edge {manifest.glass_edge_version}"]
    yield "method", [manifest.method]
    yield "backbone", [f"{manifest.backbone}, strides {', '.join(map(str, manifest.levels))} px"]
    layout = "RGB" if tile.channels == 3 else "grey"
    yield (
        "tile",
        [
            f"{tile.height_px} x {tile.width_px} px, {layout}, halo {tile.halo_px} px (error up to "
            f"{tile.max_halo_error:.3g}), scores every {tile.score_stride_px} px"
        ],
    )
    yield "scale", [f"{manifest.mm_per_px} mm/px" if manifest.mm_per_px is not None else "not known"]
    yield "smoothing", [f"sigma {manifest.smoothing_sigma_px:g} px"]
    yield "threshold (logit)", _threshold(manifest.threshold)
    yield "training data", [f"SHA-256 {manifest.training_data_sha256}"]
    yield "metrics", [f"{name} {value:.4g}" for name, value in sorted(manifest.metrics.items())] or ["none"]
    yield "parity", [line for one in manifest.parity for line in _parity(one)] or ["not recorded"]
    yield "files", _files(bundle, manifest)
    yield "manifest", [f"SHA-256 {bundle.manifest_sha256}"]
    yield "signed by", [str(one) for one in bundle.signatures] or ["nobody"]
    if bundle.signatures:
        yield "", ["(each fits the manifest; bundle verify --require-signature --trusted KEYFILE asks for a key)"]


def _threshold(threshold: ThresholdSpec) -> list[str]:
    lines = [f"{threshold.logit:.4g}: {threshold.method}"]
    if threshold.n_blocks:
        lines.append(
            f"quantile {threshold.quantile:.4g} of {threshold.n_blocks} blocks, {threshold.good_cloth_lines} lines of "
            "good cloth"
        )
    if (zone := threshold.selvedge) is not None:
        lines.append(
            f"within {zone.zone_px} px of a selvedge {zone.offset_logit:.4g} higher: {zone.method} ({zone.n_blocks} "
            "blocks)"
        )
    if (promise := threshold.promise) is not None:
        lines += promise_lines(promise)
        lines.append(
            f"(it was {promise.previous_logit:.4g} in version {promise.from_version}, where parity on good tiles and "
            "labelled images was judged)"
        )
    return lines


def promise_lines(promise: PromiseSpec) -> list[str]:
    """What a threshold promises, and what that rests on."""
    low, high = (_short(one) for one in (promise.low_per_100m, promise.high_per_100m))
    interval = f"{low} to {high}, {100 * promise.confidence:g} %"
    estimate = "" if promise.estimate_per_100m is None else f"estimated {_short(promise.estimate_per_100m)} "
    lines = [
        f"promise: at most {high} false alarms in 100 m ({estimate}({interval})), asked {promise.asked_per_100m:g}",
        f"from {promise.metres:.4g} m of good cloth, {promise.rolls} roll{'s' if promise.rolls > 1 else ''}, "
        f"{promise.blocks} blocks of {promise.block_m:g} m, largest logit {promise.largest_logit:.4g}; "
        f"{promise.mm_per_px:g} mm a px, {promise.mm_per_line:g} a line, gap {promise.gap_mm:g} mm",
        f"extremal index {promise.extremal_index:.2f} ({promise.extremal_index_by_chance:.2f} by chance), dispersion "
        f"{promise.dispersion:.2f}, {promise.alarms_per_exceedance:.2f} alarms an exceedance",
    ]
    if (tail := promise.tail) is None:
        lines.append("without a tail: the threshold is just above the largest block")
    else:
        lines.append(
            f"tail above {tail.level_logit:.4g} ({tail.exceeding} blocks): shape {tail.shape:+.3f}, scale "
            f"{tail.scale:.4g}, Anderson-Darling {tail.anderson_darling:.2f} (of {tail.anderson_darling_limit:.2f})"
        )
    return lines


def _short(rate: float) -> str:
    """Two digits, without an exponent where the rate is above 1e-4."""
    return f"{float(f'{rate:.2g}'):g}"


def _parity(result: ParityResult) -> Iterator[str]:
    share = "" if result.quantile == 1 else f" for {result.quantile:.4g} of the cells"
    yield (
        f"{result.runtime} {result.precision} {'passed' if result.passed else 'FAILED'}: largest logit error "
        f"{result.max_abs_logit_error:.3g} ({result.tolerance:.3g} allowed{share}), mean "
        f"{result.mean_abs_logit_error:.3g}, {result.alarm_cells_changed} golden cells decided otherwise"
    )
    for reason in result.reasons:
        yield f"  because {reason}"
    if (good := result.good) is not None:
        yield (
            f"  {good.tiles} held-out good tiles: largest error {good.max_abs_logit_error:.3g}, rank correlation "
            f"{good.rank_correlation:.4g}, {good.alarm_cells_changed} cells decided otherwise"
        )
    if (labelled := result.labelled) is not None:
        yield (
            f"  {labelled.folder}: tile AUROC {labelled.tile_auroc:.4g} ({labelled.tile_auroc_change:+.2g}), "
            f"{labelled.regions_found_change:+d} regions found, {labelled.false_alarms_change:+d} false alarms"
        )


def _files(bundle: Bundle, manifest: Manifest) -> list[str]:
    width = max(map(len, manifest.files))
    return [
        f"{name:{width}}  {(bundle.folder / name).stat().st_size:>11,} bytes  SHA-256 {digest}"
        for name, digest in sorted(manifest.files.items())
    ]
