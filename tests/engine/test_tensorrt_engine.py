"""The engine's order, threads, bounds and error paths, on scripted stand-ins with the bindings' real names.

That a GPU computes the right scores is test_gpu_acceptance.py's matter: it needs one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from tensorrt_fakes import VERSIONS, FakePycuda, FakeTensorRt, Gpu

from glass_edge.engine.base import EngineError, EngineFacts, TileShapeError
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.pycuda_memory import PycudaMemory
from glass_edge.engine.tensorrt_engine import TensorRtEngine
from glass_edge.engine.tensorrt_session import TensorRtSession

FACTS = EngineFacts("tensorrt", "0", "GPU 0: Loom", "f16", 1)
MAX_BATCH, DEPTH = 4, 2


@pytest.fixture(params=VERSIONS)
def gpu(request: pytest.FixtureRequest, tile: TileSpec) -> Gpu:
    shared = Gpu(tile, MAX_BATCH)
    shared.version = request.param  # type: ignore[attr-defined]
    return shared


def open_engine(gpu: Gpu, tile: TileSpec) -> TensorRtEngine:
    def open_session() -> TensorRtSession:
        memory = PycudaMemory(3, FakePycuda(gpu))
        api = FakeTensorRt(gpu.version, gpu)  # type: ignore[attr-defined]
        return TensorRtSession(api, b"plan", memory, tile=tile, max_batch=MAX_BATCH, depth=DEPTH, name="m")

    return TensorRtEngine(open_session, tile, MAX_BATCH, FACTS, "m")


@contextmanager
def opened(gpu: Gpu, tile: TileSpec) -> Iterator[TensorRtEngine]:
    with open_engine(gpu, tile) as engine:
        gpu.calls.clear()
        gpu.executed.clear()
        yield engine


def means(tiles: np.ndarray) -> np.ndarray:
    return tiles.reshape(len(tiles), -1).mean(axis=1)


def test_results_in_order_whatever_the_batch(gpu: Gpu, tile: TileSpec, tiles: np.ndarray) -> None:
    with opened(gpu, tile) as engine:
        sizes, first = [4, 1, 3, 3, 2, 4, 1], 0
        waiting: list[np.ndarray] = []
        for size in sizes:
            batch = tiles[np.arange(first, first + size) % len(tiles)]
            first += size
            engine.submit(batch)
            waiting.append(batch.copy())
            batch[...] = 0  # it was copied
            if len(waiting) == DEPTH:
                found = engine.collect()
                expected = waiting.pop(0)
                assert found.shape == (len(expected), *gpu.grid)
                np.testing.assert_allclose(found[:, 0, 0], means(expected), rtol=1e-6)
        for expected in waiting:
            np.testing.assert_allclose(engine.collect()[:, 5, 7], means(expected), rtol=1e-6)
        # 3 and 2 were new and ran once before; 4 and 1 were warmed
        assert gpu.executed == [4, 1, 3, 3, 3, 2, 2, 4, 1]
        assert gpu.calls.count("set_input_shape") == 6  # only where the size changes
        assert not [call for call in gpu.calls if call.startswith(("mem_alloc", "pagelocked"))]


def test_one_thread_of_its_own_holds_the_gpu(gpu: Gpu, tile: TileSpec, tiles: np.ndarray) -> None:
    engine = open_engine(gpu, tile)
    first = engine.infer(tiles[:1])  # a self-test in the thread that opens
    results: list[np.ndarray] = []

    def use() -> None:
        with engine:
            results.append(engine.infer(tiles[:1]))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert np.array_equal(first, results[0])
    assert len(gpu.threads) == 1
    assert threading.get_ident() not in gpu.threads
    assert [call for call in gpu.calls if call in ("retain 3", "push", "pop", "detach")] == [
        "retain 3",
        "push",
        "pop",
        "detach",
    ]
    assert sorted(gpu.freed) == sorted(gpu.memory)
    assert not [one for one in threading.enumerate() if one.name.startswith("tensorrt")]


def test_depth_bounds_what_is_in_flight(gpu: Gpu, tile: TileSpec, tiles: np.ndarray) -> None:
    with opened(gpu, tile) as engine:
        assert engine.depth == DEPTH
        for index in range(2 * DEPTH):
            engine.submit(tiles[index : index + 1])
        with pytest.raises(EngineError, match=f"{DEPTH} results wait"):
            engine.submit(tiles[:1])
        with pytest.raises(EngineError, match="in flight; collect them first"):
            engine.infer(tiles[:1])
        for index in range(2 * DEPTH):
            np.testing.assert_allclose(engine.collect()[0, 0, 0], means(tiles)[index], rtol=1e-6)
        with pytest.raises(EngineError, match="nothing is in flight"):
            engine.collect()


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (("execute_async_v3", False), "TensorRT refuses execute_async_v3: no reason was given"),
        (("set_input_shape", False), r"TensorRT refuses set_input_shape\(3, 48, 96, 3\)"),
        (("get_tensor_shape", (3, 1, 1)), r"the plan returns \(3, 1, 1\); \(3, 12, 24\) is expected"),
        (("htod", FakePycuda.Error("lost")), "the GPU cannot copy tiles to the GPU: lost"),
        (("dtoh", FakePycuda.Error("lost")), "the GPU cannot copy scores from the GPU: lost"),
        (("record", FakePycuda.Error("lost")), "the GPU cannot mark the stream: lost"),
        (("event", FakePycuda.Error("illegal address")), "the GPU cannot compute: illegal address"),
    ],
)
def test_a_batch_that_fails_counts_as_collected(
    gpu: Gpu, tile: TileSpec, tiles: np.ndarray, refusal: tuple[str, object], message: str
) -> None:
    with opened(gpu, tile) as engine:
        engine.submit(tiles[:1])
        engine.collect()
        gpu.answers = {refusal[0]: [refusal[1]]}
        engine.submit(tiles[:3])
        engine.submit(tiles[4:5])
        with pytest.raises(EngineError, match=message):
            engine.collect()
        np.testing.assert_allclose(engine.collect()[0, 0, 0], means(tiles)[4], rtol=1e-6)
        np.testing.assert_allclose(engine.infer(tiles[:3])[:, 0, 0], means(tiles[:3]), rtol=1e-6)
    assert gpu.calls[-1] == "detach"


def test_a_failure_met_by_submit_waits_for_its_collect(gpu: Gpu, tile: TileSpec, tiles: np.ndarray) -> None:
    with opened(gpu, tile) as engine:
        gpu.answers = {"execute_async_v3": [False]}
        for index in range(DEPTH + 1):
            engine.submit(tiles[index : index + 1])
        with pytest.raises(EngineError, match="refuses execute"):
            engine.collect()
        np.testing.assert_allclose(engine.collect()[0, 0, 0], means(tiles)[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "answers", "message"),
    [
        ("deserialize", [None], "cannot load the plan: made by another version"),
        ("create_execution_context", [None], "no execution context"),
        ("set_tensor_address", [True, False], r"refuses set_tensor_address\('logits'\)"),
        ("pagelocked_empty", [FakePycuda.Error("full")], "the GPU cannot lock memory of the host: full"),
        ("Stream", [FakePycuda.Error("none")], "the GPU cannot make a stream: none"),
    ],
)
def test_what_cannot_be_opened_is_released(
    gpu: Gpu, tile: TileSpec, call: str, answers: list[object], message: str
) -> None:
    gpu.answers = {call: list(answers)}
    with pytest.raises(EngineError, match=message):
        open_engine(gpu, tile)
    assert gpu.calls[-2:] == ["pop", "detach"]
    assert sorted(gpu.freed) == sorted(gpu.memory)
    assert not [one for one in threading.enumerate() if one.name.startswith("tensorrt")]


def test_a_plan_of_another_shape_is_refused(gpu: Gpu, tile: TileSpec) -> None:
    gpu.max_batch = 2
    with pytest.raises(EngineError, match=r"the plan takes at most \(2, 48, 96, 3\); \(4, 48, 96, 3\) is needed"):
        open_engine(gpu, tile)


def test_nan_is_no_score(gpu: Gpu, tile: TileSpec, tiles: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(gpu, tile) as engine:

        def compute(count: int, source: int, result: int) -> None:
            gpu.memory[result][:4] = np.float32(np.nan).tobytes()

        monkeypatch.setattr(gpu, "compute", compute)
        with pytest.raises(EngineError, match="NaN or infinity among the logits"):
            engine.infer(tiles[:1])


def test_tiles_of_another_shape_are_refused(gpu: Gpu, tile: TileSpec, tiles: np.ndarray) -> None:
    with opened(gpu, tile) as engine:
        for wrong in (tiles[:0], tiles[: MAX_BATCH + 1], tiles[:1].astype(np.float32), tiles[:1, :-16], tiles[0]):
            with pytest.raises(TileShapeError):
                engine.submit(wrong)
    engine.close()  # a second time does nothing
    with pytest.raises(EngineError, match="closed"):
        engine.submit(tiles[:1])


def test_close_drops_what_is_in_flight(gpu: Gpu, tile: TileSpec, tiles: np.ndarray) -> None:
    with opened(gpu, tile) as engine:
        for _ in range(DEPTH):
            engine.submit(tiles[:2])
    assert gpu.calls[-1] == "detach"
    again: Callable[[], Any] = lambda: open_engine(gpu, tile)  # noqa: E731
    with again() as engine:  # a reload in the same process
        np.testing.assert_allclose(engine.infer(tiles[:2])[:, 0, 0], means(tiles[:2]), rtol=1e-6)


def test_the_context_is_not_released_by_another_thread(gpu: Gpu) -> None:
    memory = PycudaMemory(0, FakePycuda(gpu))
    caught: list[BaseException] = []

    def close() -> None:
        try:
            memory.close()
        except EngineError as error:
            caught.append(error)

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert "by the thread that opened it" in str(caught[0])
    assert "detach" not in gpu.calls
    memory.close()
    memory.close()
    assert gpu.calls.count("detach") == 1
