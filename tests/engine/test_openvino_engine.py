"""OpenVINO computes the graph, exactly the same for a tile whatever travels with it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glass_edge.config.engine import EngineSettings
from glass_edge.engine import openvino_engine
from glass_edge.engine.base import Engine, EngineError, TileShapeError
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.openvino_engine import OpenVinoEngine
from glass_edge.engine.openvino_model import Graph, compile_tile_model, supported_precisions, thread_plan, usable_cores
from glass_edge.errors import InputError

F32 = EngineSettings(precision="f32", max_batch=4, depth=2)
Tiles = NDArray[np.uint8]
Truth = Callable[[Tiles], NDArray[np.float32]]


def test_logits_equal_an_independent_computation(model: bytes, tile: TileSpec, tiles: Tiles, truth: Truth) -> None:
    with OpenVinoEngine(model, tile, F32) as engine:
        logits = engine.infer(tiles[:4])
    assert logits.dtype == np.float32
    assert logits.shape == (4, 12, 24)
    np.testing.assert_allclose(logits, truth(tiles[:4]), atol=2e-5)


def test_facts_are_those_of_the_machine(model: bytes, tile: TileSpec) -> None:
    contract: Engine = OpenVinoEngine(model, tile, F32)
    with contract as engine:
        assert engine.facts.precision == "f32"
        assert engine.facts.threads == usable_cores()
        assert engine.facts.device.startswith("CPU: ")
        shape = (engine.tile_height_px, engine.tile_width_px, engine.channels, engine.score_stride_px)
        assert shape == (48, 96, 3, 4)
        assert dataclasses.asdict(engine.facts)["runtime"] == "openvino"


def test_the_compiled_input_stays_uint8(model: bytes, tile: TileSpec) -> None:
    for precision in supported_precisions():
        compiled = compile_tile_model(Graph(model), tile, precision, F32)
        assert compiled.inputs[0].element_type.get_type_name() == "u8"
        names = [node.get_friendly_name() for node in compiled.get_runtime_model().get_ordered_ops()]
        assert "tiles" in names
        kinds = {n.get_friendly_name(): n.get_rt_info() for n in compiled.get_runtime_model().get_ordered_ops()}
        assert "u8" in str(kinds["tiles"]["outputPrecisions"].astype(str))


@pytest.mark.parametrize("precision", supported_precisions())
def test_a_tile_scores_bitwise_the_same_alone_and_in_any_batch(
    model: bytes, tile: TileSpec, tiles: Tiles, precision: str
) -> None:
    settings = EngineSettings.model_validate({"precision": precision, "max_batch": 11})
    with OpenVinoEngine(model, tile, settings) as engine:
        alone = np.concatenate([engine.infer(tiles[i : i + 1]) for i in range(11)])
        for first, last in ((0, 11), (0, 2), (1, 4), (5, 11)):
            np.testing.assert_array_equal(engine.infer(tiles[first:last]), alone[first:last])
        np.testing.assert_array_equal(engine.infer(tiles[::-1]), alone[::-1])
    single = settings.model_copy(update={"threads": 1, "streams": 1})
    with OpenVinoEngine(model, tile, single) as engine:
        np.testing.assert_array_equal(engine.infer(tiles), alone)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.tuples(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.booleans()))
@example(plan=([1, 2, 3, 4, 1, 2, 3, 4], False))
@example(plan=([4, 3, 2, 1, 4, 3, 2, 1], True))
def test_results_come_in_the_order_of_submission(
    model: bytes, tile: TileSpec, tiles: Tiles, truth: Truth, plan: tuple[list[int], bool]
) -> None:
    sizes, eager = plan
    rng = np.random.default_rng(len(sizes))
    batches = [tiles[rng.integers(0, len(tiles), size)] for size in sizes]
    results = []
    with OpenVinoEngine(model, tile, F32) as engine:
        waiting = 0
        for batch in batches:
            if waiting == (engine.depth if eager else 2 * engine.depth):
                results.append(engine.collect())
                waiting -= 1
            engine.submit(batch)
            waiting += 1
        results.extend(engine.collect() for _ in range(waiting))
        with pytest.raises(EngineError, match="nothing is in flight"):
            engine.collect()
    for batch, result in zip(batches, results, strict=True):
        np.testing.assert_allclose(result, truth(batch), atol=2e-5)


def test_the_caller_may_reuse_its_arrays(model: bytes, tile: TileSpec, tiles: Tiles, truth: Truth) -> None:
    buffer = tiles[:2].copy()
    with OpenVinoEngine(model, tile, F32) as engine:
        engine.submit(buffer)
        buffer[:] = 0
        first = engine.collect()
        kept = first.copy()
        engine.infer(tiles[2:4])
        np.testing.assert_array_equal(first, kept)
        flipped = tiles[:2, ::-1, ::-1]  # a view with negative strides
        np.testing.assert_allclose(engine.infer(flipped), truth(np.ascontiguousarray(flipped)), atol=2e-5)
    np.testing.assert_allclose(first, truth(tiles[:2]), atol=2e-5)


def test_uncollected_results_are_bounded(model: bytes, tile: TileSpec, tiles: Tiles) -> None:
    with OpenVinoEngine(model, tile, F32) as engine:
        for _ in range(2 * engine.depth):
            engine.submit(tiles[:1])
        with pytest.raises(EngineError, match="collect before submitting"):
            engine.submit(tiles[:1])
        with pytest.raises(EngineError, match="in flight"):
            engine.infer(tiles[:1])


def test_tiles_of_another_size_are_refused(model: bytes, tile: TileSpec, tiles: Tiles) -> None:
    with OpenVinoEngine(model, tile, F32) as engine:
        with pytest.raises(TileShapeError, match=r"\(2, 32, 96, 3\).*\('n', 48, 96, 3\)"):
            engine.submit(tiles[:2, :32])
        with pytest.raises(TileShapeError, match="float32"):
            engine.submit(tiles[:2].astype(np.float32))  # type: ignore[arg-type]
        with pytest.raises(TileShapeError, match="5 tiles in a batch; 1 to 4"):
            engine.submit(tiles[:5])
        with pytest.raises(TileShapeError, match="0 tiles"):
            engine.submit(tiles[:0])
        assert engine.infer(tiles[:1]).shape == (1, 12, 24)


def test_a_graph_for_another_tile_is_refused(tile: TileSpec, onnx_builder: Callable[..., bytes]) -> None:
    with pytest.raises(TileShapeError, match=r"takes u8 \[.*,64,96,3\].*tile is u8 \[n,48,96,3\]"):
        OpenVinoEngine(onnx_builder(64, 96), tile, F32)
    coarse = tile.model_copy(update={"score_stride_px": 8})
    with pytest.raises(TileShapeError, match=r"f32 \[1, 6, 12\] is expected"):
        OpenVinoEngine(onnx_builder(48, 96), coarse, F32)


def test_a_graph_of_open_size_takes_the_manifests_tile(
    tile: TileSpec, tiles: Tiles, truth: Truth, onnx_builder: Callable[..., bytes]
) -> None:
    with OpenVinoEngine(onnx_builder("h", "w"), tile, F32) as engine:
        np.testing.assert_allclose(engine.infer(tiles[:2]), truth(tiles[:2]), atol=2e-5)


def test_a_broken_graph_is_an_input_error(model: bytes, tile: TileSpec) -> None:
    for broken in (b"", model[: len(model) // 2], b"no graph"):
        with pytest.raises(InputError, match="golden/model: not a graph OpenVINO can read"):
            OpenVinoEngine(Graph(broken, name="golden/model"), tile, F32)


def test_nan_is_never_handed_out(tile: TileSpec, tiles: Tiles, onnx_builder: Callable[..., bytes]) -> None:
    poisoned = onnx_builder(48, 96, np.full((1, 8, 3, 3), np.nan, np.float32))
    engine = OpenVinoEngine(poisoned, tile, F32)
    with pytest.raises(EngineError, match="NaN"):
        engine.infer(tiles[:1])
    engine.close()


def test_an_engine_goes_on_after_batches_that_failed(
    model: bytes, tile: TileSpec, tiles: Tiles, truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 2 * F32.depth + 1  # more than there are slots

    with OpenVinoEngine(model, tile, F32) as engine:
        finish = openvino_engine._Slot.finish

        def fail(slot: openvino_engine._Slot) -> Tiles:
            finish(slot)
            raise RuntimeError("the device was lost")

        monkeypatch.setattr(openvino_engine._Slot, "finish", fail)
        for _ in range(failures):
            engine.submit(tiles[:2])
            with pytest.raises(EngineError, match="device was lost"):
                engine.collect()
        monkeypatch.undo()
        for start in (0, 4):  # all slots are there again, and in order
            engine.submit(tiles[start : start + 4])
        np.testing.assert_allclose(engine.collect(), truth(tiles[:4]), atol=2e-5)
        np.testing.assert_allclose(engine.collect(), truth(tiles[4:8]), atol=2e-5)


def test_a_closed_engine_says_so(model: bytes, tile: TileSpec, tiles: Tiles) -> None:
    with OpenVinoEngine(model, tile, F32) as engine:
        engine.submit(tiles[:4])  # left in flight: leaving waits for it
    with pytest.raises(EngineError, match="closed"):
        engine.submit(tiles[:1])
    engine.close()


def test_bf16_stays_near_f32(model: bytes, tile: TileSpec, tiles: Tiles, truth: Truth) -> None:
    if "bf16" not in supported_precisions():
        with pytest.raises(InputError, match="bf16"):
            OpenVinoEngine(model, tile, F32.model_copy(update={"precision": "bf16"}))
        pytest.skip("this CPU has no bf16 instructions")
    with OpenVinoEngine(model, tile, F32.model_copy(update={"precision": "bf16"})) as engine:
        logits = engine.infer(tiles[:4])
    expected = truth(tiles[:4])
    error = np.abs(logits - expected).max()
    assert 1e-4 < error < 0.02 * np.abs(expected).max()  # above: it really computed in bf16


def test_thread_plan() -> None:
    cores = usable_cores()
    assert thread_plan(EngineSettings()) == (cores, cores)
    assert thread_plan(EngineSettings(threads=4, streams=2)) == (4, 2)
    assert thread_plan(EngineSettings(threads=3)) == (3, 3)
    with pytest.raises(ValueError, match="streams = 3"):
        EngineSettings(threads=2, streams=3)


def test_the_cache_gives_the_same_engine(model: bytes, tile: TileSpec, tiles: Tiles, tmp_path: Path) -> None:
    cached = F32.model_copy(update={"cache_folder": tmp_path / "cache"})
    with OpenVinoEngine(model, tile, cached) as engine:
        fresh = engine.infer(tiles[:4])
    (blob,) = (tmp_path / "cache").iterdir()
    content, stamp = blob.read_bytes(), blob.stat().st_mtime_ns
    with OpenVinoEngine(model, tile, cached) as engine:
        np.testing.assert_array_equal(engine.infer(tiles[:4]), fresh)
    assert blob.stat().st_mtime_ns == stamp  # used, not rebuilt
    for damaged in (b"", content[:100], content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
        blob.write_bytes(damaged)
        with OpenVinoEngine(model, tile, cached) as engine:
            np.testing.assert_array_equal(engine.infer(tiles[:4]), fresh)
        assert blob.read_bytes()[32:]  # rebuilt
        assert blob.stat().st_size > 100


def test_another_precision_or_model_is_another_cache_file(
    model: bytes, tile: TileSpec, tmp_path: Path, onnx_builder: Callable[..., bytes]
) -> None:
    cached = F32.model_copy(update={"cache_folder": tmp_path})
    other_model = onnx_builder(48, 96, np.ones((1, 8, 3, 3), np.float32))
    OpenVinoEngine(model, tile, cached).close()
    OpenVinoEngine(other_model, tile, cached).close()
    OpenVinoEngine(model, tile, cached.model_copy(update={"threads": 1})).close()
    assert len(list(tmp_path.glob("*.blob"))) == 3


def test_an_unwritable_cache_is_an_input_error(model: bytes, tile: TileSpec, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        OpenVinoEngine(model, tile, F32.model_copy(update={"cache_folder": in_the_way / "cache"}))


def test_the_engine_runs_without_torch_and_onnx() -> None:
    modules = "glass_edge.engine.factory, glass_edge.engine.bench, glass_edge.cli.bench, glass_edge.cli.bundle"
    code = f"import sys, {modules}; print({{'torch', 'onnx'}} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "set()"


_ON_ONE_CORE = """
import os, sys, time
from pathlib import Path
import numpy as np
from glass_edge.config.engine import EngineSettings
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.openvino_engine import OpenVinoEngine

every = os.sched_getaffinity(0)
core = max(every)
settings = EngineSettings(precision="f32", max_batch=2, cores=(core,), pin_threads=sys.argv[3] == "pinned")
before = {task.name for task in Path("/proc/self/task").iterdir()}
tile = TileSpec.model_validate_json(sys.argv[2])
with OpenVinoEngine(Path(sys.argv[1]).read_bytes(), tile, settings) as engine:
    engine.infer(np.zeros((2, 48, 96, 3), np.uint8))
    started = {task.name for task in Path("/proc/self/task").iterdir()} - before
    assert started
    end_s = time.monotonic() + 20  # a thread that has not had a turn yet shows the mask of the process
    while (masks := {one: os.sched_getaffinity(int(one)) for one in started}) and set.union(*masks.values()) != {core}:
        assert time.monotonic() < end_s, masks
        time.sleep(0.01)
    assert engine.facts.threads == 1
assert os.sched_getaffinity(0) == every
"""


@pytest.mark.skipif(usable_cores() < 2, reason="one core cannot be told from all")
@pytest.mark.parametrize("pin", ["pinned", "free"])
def test_computing_threads_keep_to_their_cores(model: bytes, tile: TileSpec, tmp_path: Path, pin: str) -> None:
    """In a process of its own: threads of other engines are used again."""
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    command = [sys.executable, "-c", _ON_ONE_CORE, str(path), tile.model_dump_json(), pin]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_cores_that_are_not_there_are_named(model: bytes, tile: TileSpec) -> None:
    with pytest.raises(InputError, match=r"engine\.cores = \[4000\]: this process may run on \["):
        OpenVinoEngine(model, tile, EngineSettings(precision="f32", cores=(4000,)))
    with pytest.raises(ValueError, match="threads = 3 is more than cores"):
        EngineSettings(threads=3, cores=(0, 1))
