"""The gate passes the true network and stops every other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.factory import open_engine
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import GOLDEN_NAME, MODEL_NAME, Manifest, ParityResult, TileSpec
from glass_edge.engine.openvino_engine import OpenVinoEngine
from glass_edge.engine.openvino_model import supported_precisions
from glass_edge.engine.parity import ParityError, Rule, measure, require, rule_for, self_test

F32 = EngineSettings(precision="f32", max_batch=2)


def test_the_true_network_passes(model: bytes, tile: TileSpec, golden: GoldenSet) -> None:
    with OpenVinoEngine(model, tile, F32) as engine:
        result = measure(engine, golden, threshold_logit=1.0)
        maps = np.concatenate([engine.infer(golden.tiles[k : k + 1]) for k in range(len(golden.tiles))])
    error = np.abs(maps - golden.maps)
    assert result.passed
    assert result.runtime == "openvino"
    assert result.precision == "f32"
    assert result.max_abs_logit_error == pytest.approx(error.max(), rel=1e-6)
    assert result.mean_abs_logit_error == pytest.approx(error.mean(), rel=1e-3)
    assert result.tolerance == pytest.approx(1e-3 * np.abs(golden.maps).max())
    require(result, "bundle")


def test_a_shifted_cell_does_not_pass(model: bytes, tile: TileSpec, golden: GoldenSet) -> None:
    changed = golden.maps.copy()
    changed[3, 4, 5] += 2 * rule_for("f32", golden, 1.0).tolerance
    with OpenVinoEngine(model, tile, F32) as engine:
        result = measure(engine, GoldenSet(golden.tiles, changed), threshold_logit=1.0)
    assert not result.passed
    with pytest.raises(ParityError, match=r"twill: openvino f32: differs .* allowed"):
        require(result, "twill")


def test_decisions_are_counted_on_smoothed_scores(model: bytes, tile: TileSpec, golden: GoldenSet) -> None:
    shifted = GoldenSet(golden.tiles, golden.maps + np.float32(0.2))
    with OpenVinoEngine(model, tile, F32) as engine:
        raw = measure(engine, shifted, threshold_logit=0.5, rule=Rule(10.0))
        smooth = measure(engine, shifted, threshold_logit=0.5, smoothing_sigma_px=8.0, rule=Rule(10.0))
    assert raw.alarm_cells_changed == np.count_nonzero((shifted.maps >= 0.5) != (golden.maps >= 0.5))
    assert not raw.passed  # within the tolerance, but other decisions
    # a kernel written out: sigma of two cells, cut at four sigma, reflect-101 border
    kernel = np.exp(-0.5 * (np.arange(-8, 9) / 2.0) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(golden.maps.astype(np.float64), ((0, 0), (8, 8), (8, 8)), mode="reflect")
    rows = sum(kernel[k] * padded[:, k : k + 12] for k in range(17))
    blurred = sum(kernel[k] * rows[:, :, k : k + 24] for k in range(17))
    assert smooth.alarm_cells_changed == np.count_nonzero((blurred >= 0.5) != (blurred + 0.2 >= 0.5))


def test_a_bundle_with_another_network_is_refused(
    tmp_path: Path, manifest: Manifest, golden: GoldenSet, onnx_builder: Callable[..., bytes]
) -> None:
    other = onnx_builder(48, 96, np.full((1, 8, 3, 3), 0.1, np.float32))
    bundle = write_bundle(tmp_path, manifest, {MODEL_NAME: other, GOLDEN_NAME: golden.to_bytes()})
    for settings in (F32, EngineSettings()):
        with pytest.raises(ParityError, match="differs from the checkpoint"):
            open_engine(bundle, settings)


def test_an_engine_that_opens_has_passed(bundle: Bundle, golden: GoldenSet) -> None:
    with open_engine(bundle, EngineSettings()) as engine:
        assert engine.facts.precision == supported_precisions()[0]
        assert self_test(engine, bundle).passed
    with open_engine(bundle, F32) as engine:
        np.testing.assert_allclose(engine.infer(golden.tiles[:2]), golden.maps[:2], atol=2e-5)


def test_scores_in_the_halo_are_not_compared(model: bytes, manifest: Manifest, golden: GoldenSet) -> None:
    maps = golden.maps.copy()
    maps[:, 0, :] += 5.0
    shifted = GoldenSet(golden.tiles, maps)
    with OpenVinoEngine(model, manifest.tile, F32) as engine:
        assert not measure(engine, shifted, threshold_logit=1e3).passed
        assert measure(engine, shifted, threshold_logit=1e3, halo_px=16).passed


def test_reduced_precision_is_measured_on_the_scale_of_the_threshold(golden: GoldenSet) -> None:
    loud = GoldenSet(golden.tiles, golden.maps * 1000)
    assert rule_for("bf16", loud, 4.0) == rule_for("bf16", golden, -4.0) == Rule(pytest.approx(0.4))
    assert rule_for("bf16", golden, 0.1).tolerance == pytest.approx(0.05)
    assert rule_for("int8", golden, 4.0) == Rule(pytest.approx(0.8), 0.99, 0.1)
    assert rule_for("f32", loud, 4.0).tolerance > rule_for("f32", golden, 4.0).tolerance


def record(precision: str, passed: bool, tolerance: float) -> ParityResult:
    return ParityResult(
        runtime="openvino",
        precision=precision,
        max_abs_logit_error=0.0,
        mean_abs_logit_error=0.0,
        tolerance=tolerance,
        alarm_cells_changed=0,
        passed=passed,
    )


def test_what_failed_at_the_build_never_runs(
    tmp_path: Path, manifest: Manifest, model: bytes, golden: GoldenSet
) -> None:
    contents = {MODEL_NAME: model, GOLDEN_NAME: golden.to_bytes()}
    failed = manifest.model_copy(update={"parity": (record("f32", False, 1.0),)})
    with pytest.raises(ParityError, match="recorded when it was built"):
        open_engine(write_bundle(tmp_path / "a", failed, contents), F32)
    strict = manifest.model_copy(update={"parity": (record("f32", True, 1e-12),)})
    with pytest.raises(ParityError, match="1e-12 allowed"):
        open_engine(write_bundle(tmp_path / "b", strict, contents), F32)


@pytest.mark.skipif("bf16" not in supported_precisions(), reason="this CPU has no bf16 instructions")
def test_auto_falls_back_to_what_passes(tmp_path: Path, manifest: Manifest, model: bytes, golden: GoldenSet) -> None:
    failed = manifest.model_copy(update={"parity": (record("bf16", False, 1.0), record("f32", True, 1e-3))})
    bundle = write_bundle(tmp_path, failed, {MODEL_NAME: model, GOLDEN_NAME: golden.to_bytes()})
    with open_engine(bundle, EngineSettings()) as engine:
        assert engine.facts.precision == "f32"
    with pytest.raises(ParityError, match="bf16"):
        open_engine(bundle, EngineSettings(precision="bf16"))
