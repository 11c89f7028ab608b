"""The parity gate: an engine is accepted only when it says what the checkpoint said.

Promises: `require` lets nothing pass that is off by more than the tolerance or decides otherwise; tolerance and reasons
are in the result, so what was accepted can be read later.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.config.recipe_parity import ParitySettings
from glass_edge.engine.base import Engine
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import GoodTilesParity, LabelledParity, Manifest, ParityResult
from glass_edge.errors import GlassEdgeError

Maps = NDArray[np.float32]


class ParityError(GlassEdgeError):
    """The engine's scores are not those of the checkpoint: it must not run."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What the golden tiles must show.

    Attributes:
        tolerance: largest absolute logit error accepted.
        quantile: of the cells that must keep to it.
        changed_share: of the alarm cells may be decided otherwise, and one more.
    """

    tolerance: float
    quantile: float = 1.0
    changed_share: float = 0.05


@dataclass(frozen=True, slots=True)
class Judge:
    """How scores become alarms.

    Attributes:
        threshold_logit: alarm where the smoothed logit is at or above it.
        sigma_px: of the smoothing.
        halo_px: border of the tiles whose scores are never used, and so not compared.
        stride_px: of a score cell.
    """

    threshold_logit: float
    sigma_px: float
    halo_px: int
    stride_px: int

    def inside(self, maps: Maps) -> Maps:
        """Cells (n, rows, columns) that are used."""
        edge = self.halo_px // self.stride_px
        return maps[:, edge : maps.shape[1] - edge, edge : maps.shape[2] - edge]

    def smooth(self, maps: Maps) -> Maps:
        """Smoothed logits of the cells that are used."""
        sigma_cells = self.sigma_px / self.stride_px
        if sigma_cells <= 0:
            return self.inside(maps)
        smoothed = np.stack([cv2.GaussianBlur(plane, (0, 0), sigma_cells) for plane in maps])
        return self.inside(smoothed.astype(np.float32, copy=False))


def rule_for(precision: str, golden: GoldenSet, threshold_logit: float, settings: ParitySettings | None = None) -> Rule:
    """What is asked of an engine of this precision."""
    settings = settings or ParitySettings()
    if precision == "f32":
        scale = max(1.0, float(np.abs(golden.maps).max()))
        return Rule(settings.f32_tolerance * scale, changed_share=settings.changed_share)
    fraction = {"bf16": settings.bf16_tolerance, "fp16": settings.fp16_tolerance, "int8": settings.int8_tolerance}
    is_int8 = precision == "int8"
    quantile = settings.int8_quantile if is_int8 else 1.0
    share = settings.int8_changed_share if is_int8 else settings.changed_share
    return Rule(fraction[precision] * max(1.0, 2 * abs(threshold_logit)), quantile, share)


def measure(
    engine: Engine,
    golden: GoldenSet,
    threshold_logit: float,
    smoothing_sigma_px: float = 0.0,
    rule: Rule | None = None,
    *,
    halo_px: int = 0,
) -> ParityResult:
    """Run the golden tiles through `engine` and compare.

    Args:
        engine: nothing may be in flight.
        golden: tiles and the checkpoint's logits.
        threshold_logit: alarm where the smoothed logit is at or above it.
        smoothing_sigma_px: Gaussian sigma of the smoothing before the threshold, px.
        rule: what is asked; None: `rule_for` the engine's precision.
        halo_px: border of the tiles whose scores are never used, and so not compared.

    Raises:
        ParityError: the engine returned NaN or infinity.
    """
    rule = rule or rule_for(engine.facts.precision, golden, threshold_logit)
    judge = Judge(threshold_logit, smoothing_sigma_px, halo_px, engine.score_stride_px)
    maps = infer_all(engine, golden.tiles)
    error = np.abs(judge.inside(maps).astype(np.float64) - judge.inside(golden.maps))
    expected = judge.smooth(golden.maps) >= threshold_logit
    changed = int(np.count_nonzero(expected != (judge.smooth(maps) >= threshold_logit)))
    allowed = _allowed(rule.changed_share, int(np.count_nonzero(expected)))
    judged = float(error.max() if rule.quantile == 1 else np.quantile(error, rule.quantile))
    reasons = []
    if not judged <= rule.tolerance:
        share = "" if rule.quantile == 1 else f"{1 - rule.quantile:.3g} of the cells "
        beyond = "by more than" if share else "by up to"
        reasons.append(f"{share}differs from the checkpoint {beyond} {judged:.3g} ({rule.tolerance:.3g} allowed)")
    if changed > allowed:
        reasons.append(f"decides {changed} golden cells otherwise ({allowed} allowed)")
    return ParityResult(
        runtime=engine.facts.runtime,
        precision=engine.facts.precision,
        max_abs_logit_error=float(error.max()),
        mean_abs_logit_error=float(error.mean()),
        p99_abs_logit_error=float(np.quantile(error, 0.99)),
        tolerance=rule.tolerance,
        quantile=rule.quantile,
        alarm_cells_changed=changed,
        changed_share=rule.changed_share,
        passed=not reasons,
        reasons=tuple(reasons),
    )


def compare_good(engine: Engine, tiles: NDArray[np.uint8], expected: Maps, judge: Judge) -> GoodTilesParity:
    """Compare on good tiles.

    Args:
        engine: nothing may be in flight.
        tiles: uint8 (n, height, width, channels), n > 1.
        expected: the checkpoint's logits (n, rows, columns).
        judge: smoothing, threshold, halo.
    """
    maps = infer_all(engine, tiles)
    error = np.abs(judge.inside(maps).astype(np.float64) - judge.inside(expected))
    theirs, ours = judge.smooth(expected), judge.smooth(maps)
    alarms = theirs >= judge.threshold_logit
    return GoodTilesParity(
        tiles=len(tiles),
        max_abs_logit_error=float(error.max()),
        p99_abs_logit_error=float(np.quantile(error, 0.99)),
        rank_correlation=_rank_correlation(theirs.max(axis=(1, 2)), ours.max(axis=(1, 2))),
        alarm_cells=int(np.count_nonzero(alarms)),
        alarm_cells_changed=int(np.count_nonzero(alarms != (ours >= judge.threshold_logit))),
    )


def with_more(
    result: ParityResult,
    settings: ParitySettings,
    *,
    good: GoodTilesParity | None = None,
    labelled: LabelledParity | None = None,
) -> ParityResult:
    """`result` with what good tiles and labelled images said, judged by them too."""
    reasons = list(result.reasons)
    if good is not None:
        if good.tiles > 2 and not good.rank_correlation >= settings.min_rank_correlation:
            reasons.append(
                f"orders good tiles otherwise: rank correlation {good.rank_correlation:.3f} "
                f"({settings.min_rank_correlation:g} is needed)"
            )
        allowed = _allowed(result.changed_share, good.alarm_cells)
        if good.alarm_cells_changed > allowed:
            reasons.append(f"decides {good.alarm_cells_changed} good cells otherwise ({allowed} allowed)")
    if labelled is not None and -labelled.tile_auroc_change > settings.max_auroc_loss:
        reasons.append(
            f"loses {-labelled.tile_auroc_change:.4f} of tile AUROC on {labelled.folder} "
            f"({settings.max_auroc_loss:g} allowed)"
        )
    update = {"good": good, "labelled": labelled, "reasons": tuple(reasons), "passed": not reasons}
    return result.model_copy(update=update)


def require(result: ParityResult, name: str) -> None:
    """Raises ParityError, beginning with `name`, unless `result` passed."""
    if not result.passed:
        why = "; ".join(result.reasons) or (
            f"differs from the checkpoint by up to {result.max_abs_logit_error:.3g} ({result.tolerance:.3g} allowed) "
            f"and decides {result.alarm_cells_changed} golden cells otherwise"
        )
        raise ParityError(
            f"{name}: {result.runtime} {result.precision}: {why}; use precision f32, or rebuild the bundle"
        )


def self_test(engine: Engine, bundle: Bundle) -> ParityResult:
    """Run the gate on this machine's golden tiles, with the tolerance the bundle was accepted with.

    Raises:
        ParityError: the engine differs, or the bundle records that this runtime and precision failed.
    """
    manifest = bundle.manifest
    recorded = recorded_result(manifest, engine.facts.runtime, engine.facts.precision)
    rule = None
    if recorded is not None:
        require(recorded, f"{bundle.folder} (recorded when it was built)")
        rule = Rule(recorded.tolerance, recorded.quantile, recorded.changed_share)
    result = measure(
        engine,
        bundle.golden(),
        manifest.threshold.logit,
        manifest.smoothing_sigma_px,
        rule,
        halo_px=manifest.tile.halo_px,
    )
    require(result, str(bundle.folder))
    return result


def recorded_result(manifest: Manifest, runtime: str, precision: str) -> ParityResult | None:
    """What the gate found for this variant when the bundle was built, if it was tried."""
    for result in manifest.parity:
        if (result.runtime, result.precision) == (runtime, precision):
            return result
    return None


def infer_all(engine: Engine, tiles: NDArray[np.uint8]) -> Maps:
    """Logits of all tiles, batch after batch.

    Raises:
        ParityError: NaN or infinity among them.
    """
    firsts = range(0, len(tiles), engine.max_batch)
    maps = np.concatenate([engine.infer(tiles[first : first + engine.max_batch]) for first in firsts])
    if not np.isfinite(maps).all():
        raise ParityError(f"{engine.facts.runtime} {engine.facts.precision}: NaN or infinity among the scores")
    return maps


def _allowed(share: float, alarm_cells: int) -> int:
    return 1 + int(share * alarm_cells)


def _rank_correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Spearman's coefficient; 1 where there is nothing to order."""
    if len(one) < 2:
        return 1.0
    first, second = (np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (one, other))
    return float(np.corrcoef(first, second)[0, 1])
