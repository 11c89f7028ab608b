"""Recording and replaying, on a stand-in; where cuda-bindings is installed, its functions exist and fit."""

from __future__ import annotations

import enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorrt_fakes import HANDLE, VERSIONS, FakePycuda, FakeTensorRt, Gpu

from glass_edge.engine.base import EngineError
from glass_edge.engine.cuda_graphs import CudaGraphs
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.pycuda_memory import PycudaMemory
from glass_edge.engine.tensorrt_session import TensorRtSession

Status = enum.Enum("Status", ["CUDA_SUCCESS", "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"])
FUNCTIONS = {
    "cuStreamBeginCapture": 2,
    "cuStreamEndCapture": 1,
    "cuGraphInstantiate": 2,
    "cuGraphDestroy": 1,
    "cuGraphLaunch": 2,
    "cuGraphExecDestroy": 1,
}


class FakeDriver:
    """cuda.bindings.driver: what is queued while it records is kept and replayed."""

    CUresult = Status
    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)

    def __init__(self, fail: str = "") -> None:
        self.fail, self.calls, self.launched = fail, [], 0

    def CUstream(self, handle: int) -> int:
        assert handle == HANDLE
        return handle

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        def call(*arguments: object) -> tuple[object, ...]:
            assert len(arguments) == FUNCTIONS[name]
            self.calls.append(name)
            self.launched += name == "cuGraphLaunch"
            status = Status.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED if name == self.fail else Status.CUDA_SUCCESS
            return (status, f"{name}'s") if name in ("cuStreamEndCapture", "cuGraphInstantiate") else (status,)

        return call


def test_the_functions_are_those_of_the_bindings() -> None:
    driver = pytest.importorskip("cuda.bindings.driver")
    for name, count in FUNCTIONS.items():
        signature = getattr(driver, name).__doc__.splitlines()[0]
        assert signature.count(",") + 1 == count, signature
    assert driver.CUresult.CUDA_SUCCESS == 0
    assert driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL == 1
    assert int(driver.CUstream(HANDLE)) == HANDLE


def test_a_recording_is_launched_and_dropped() -> None:
    driver, queued = FakeDriver(), []
    graphs = CudaGraphs(HANDLE, driver)
    launch = graphs.record(lambda: queued.append(1))
    launch()
    launch()
    graphs.close()
    assert queued == [1]
    assert driver.launched == 2
    assert driver.calls == [
        *("cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "cuGraphDestroy"),
        *("cuGraphLaunch", "cuGraphLaunch", "cuGraphExecDestroy"),
    ]


@pytest.mark.parametrize("fail", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"])
def test_a_recording_that_fails_is_an_error(fail: str) -> None:
    with pytest.raises(EngineError, match=f"fails in {fail}: Status.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"):
        CudaGraphs(HANDLE, FakeDriver(fail)).record(lambda: None)


@pytest.mark.parametrize("fail", ["", "cuStreamEndCapture"])
def test_the_recording_always_ends(fail: str) -> None:
    def refuse() -> None:
        raise EngineError("refused")

    driver = FakeDriver(fail)
    with pytest.raises(EngineError, match="refused"):
        CudaGraphs(HANDLE, driver).record(refuse)
    assert "cuStreamEndCapture" in driver.calls
    assert "cuGraphInstantiate" not in driver.calls


@pytest.mark.parametrize("fail", ["", "cuStreamBeginCapture"])
def test_each_batch_size_is_recorded_once(tile: TileSpec, tiles: np.ndarray, fail: str) -> None:
    gpu, driver = Gpu(tile, 4), FakeDriver(fail)
    memory = PycudaMemory(0, FakePycuda(gpu))
    graphs = CudaGraphs(memory.stream, driver)
    session = TensorRtSession(
        FakeTensorRt(VERSIONS[0], gpu), b"plan", memory, tile=tile, max_batch=4, depth=1, name="m", graphs=graphs
    )
    (slot,) = session.slots
    for count in (2, 3, 2, 2, 3):
        slot.count = count
        slot.tiles[:count] = tiles[:count]
        session.launch(slot)
        session.wait(slot)
    assert driver.calls.count("cuStreamBeginCapture") == 2
    assert driver.launched == (0 if fail else 5)
    if fail:  # it goes on without
        assert gpu.executed == [2, 2, 3, 3, 2, 2, 3]
    session.close()
    assert driver.calls.count("cuGraphExecDestroy") == (0 if fail else 2)
    assert gpu.calls[-1] == "detach"
