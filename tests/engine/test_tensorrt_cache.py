"""Plans are used only whole, only under their key and only from the cache; the builder's calls exist in TensorRT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tensorrt_fakes import VERSIONS, FakeTensorRt, Gpu

from glass_edge.engine.base import EngineError
from glass_edge.engine.gpu_probe import GpuFacts
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.tensorrt_builder import PlanOptions, build_plan
from glass_edge.engine.tensorrt_cache import PlanCache, load_or_build, plan_key
from glass_edge.errors import InputError

GPU = GpuFacts(0, "NVIDIA Loom", (8, 6), 13000, "580.1")
OPTIONS = PlanOptions(max_batch=8, optimal_batch=4)
KEY = {"kind": "plan", "onnx_sha256": "ab", "sm": "SM86"}


@pytest.fixture(params=VERSIONS)
def api(request: pytest.FixtureRequest, tile: TileSpec) -> FakeTensorRt:
    return FakeTensorRt(request.param, Gpu(tile, 8))


def test_a_plan_is_built_once(api: FakeTensorRt, tile: TileSpec, tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)

    def plan(
        model: bytes = b"graph", options: PlanOptions = OPTIONS, gpu: GpuFacts = GPU, precision: str = "f32"
    ) -> int:
        before = api.gpu.calls.count("build_serialized_network")
        arguments = {"tile": tile, "precision": precision, "options": options, "gpu": gpu, "name": "model.onnx"}
        assert load_or_build(cache, api, model, **arguments) == b"plan of network"
        return api.gpu.calls.count("build_serialized_network") - before

    assert plan() == 1
    assert plan() == 0
    assert plan(model=b"other") == 1
    assert plan(precision="f16") == 1
    assert plan(options=replace(OPTIONS, max_batch=9)) == 1
    assert plan(options=replace(OPTIONS, optimal_batch=1)) == 1
    assert plan(options=replace(OPTIONS, hardware_compatibility="ampere_plus")) == 1
    assert plan(options=replace(OPTIONS, optimization_level=5)) == 1
    assert plan(gpu=replace(GPU, name="other")) == 1
    assert plan(gpu=replace(GPU, compute_capability=(8, 9))) == 1
    assert plan(gpu=replace(GPU, driver_cuda=13010)) == 1
    assert plan(gpu=replace(GPU, driver_release="581")) == 1
    api.__version__ = "12.0"
    assert plan() == 1
    # timings of this GPU shorten the second build, and not those of another one
    assert api.gpu.calls.count("create_timing_cache b'timings'") == 6
    assert "level 5" in api.gpu.calls
    assert "compatibility AMPERE_PLUS" in api.gpu.calls
    assert "clear_flag TF32" in api.gpu.calls


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_changed_plan_is_built_again(api: FakeTensorRt, tile: TileSpec, tmp_path: Path, place: int) -> None:
    cache = PlanCache(tmp_path)
    arguments = {"tile": tile, "precision": "f32", "options": OPTIONS, "gpu": GPU}
    load_or_build(cache, api, b"graph", name="m", **arguments)
    path = cache.path(plan_key(api, b"graph", **arguments))
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    load_or_build(cache, api, b"graph", name="m", **arguments)
    assert api.gpu.calls.count("build_serialized_network") == 2
    assert "deserialize" not in api.gpu.calls


def test_a_renamed_plan_is_not_taken(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    cache.store(KEY, b"plan")
    assert cache.load(KEY) == b"plan"
    other = KEY | {"sm": "SM89"}
    cache.path(KEY).replace(cache.path(other))
    assert cache.load(other) is None
    assert not cache.path(other).exists()


def test_without_a_cache_it_is_built_every_time(api: FakeTensorRt, tile: TileSpec) -> None:
    for _ in range(2):
        load_or_build(None, api, b"g", tile=tile, precision="f32", options=OPTIONS, gpu=GPU, name="m")
    assert api.gpu.calls.count("build_serialized_network") == 2


def test_refusals_of_the_builder(api: FakeTensorRt, tile: TileSpec) -> None:
    def build(options: PlanOptions = OPTIONS, timing_cache: bytes = b"") -> bytes:
        return build_plan(api, b"graph", tile, options, "model.onnx", timing_cache=timing_cache).plan

    api.gpu.answers = {"build_serialized_network": [None]}
    with pytest.raises(EngineError, match=r"^model\.onnx: tensorrt .* cannot compile it"):
        build()
    api.gpu.answers = {"add_optimization_profile": [-1]}
    with pytest.raises(EngineError, match="refuses batches of 1 to 8"):
        build()
    api.gpu.answers = {"parse": [False]}
    with pytest.raises(InputError, match="cannot parse it and gives no reason"):
        build()
    api.gpu.answers, api.gpu.parser_errors = {"parse": [False]}, 2
    told = r"model\.onnx: node number 7 \(Loom\): UNSUPPORTED_NODE: no such weave"
    with pytest.raises(InputError, match=f"^{told}\n{told}$"):
        build()
    with pytest.raises(InputError, match="compiles for the GPU of this machine only"):
        build(replace(OPTIONS, compute_capabilities=("SM86",)))
    # timings of another GPU are refused by the library: it starts without
    api.gpu.answers = {"set_timing_cache b'old' False": [False]}
    assert build(timing_cache=b"old") == b"plan of network"
    assert "set_timing_cache b'' False" in api.gpu.calls
