"""From a bundle to a TensorRT engine: what is refused, what is cached, what the gate says; on stand-ins for the GPU."""

from __future__ import annotations

import ctypes.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog.testing
from pydantic import ValidationError
from tensorrt_fakes import VERSIONS, FakePycuda, FakeTensorRt, Gpu

from glass_edge.config.engine import EngineSettings
from glass_edge.engine import tensorrt_open
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.factory import open_engine
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.gpu_probe import GpuFacts, GpuUnavailableError
from glass_edge.engine.manifest import GOLDEN_NAME, MODEL_NAME, Manifest
from glass_edge.engine.parity import ParityError
from glass_edge.engine.pycuda_memory import PycudaMemory
from glass_edge.engine.tensorrt_api import load_api
from glass_edge.engine.tensorrt_open import GRAPHS
from glass_edge.errors import InputError, MissingExtraError

FACTS = GpuFacts(0, "NVIDIA Loom", (8, 6), 13000, "580.1")


@pytest.fixture
def bundle(tmp_path: Path, manifest: Manifest, tiles: np.ndarray) -> Bundle:
    """Its scores are what the stand-in computes: the mean of each tile."""
    some = tiles[:3]
    grid = (manifest.tile.height_px // 4, manifest.tile.width_px // 4)
    means = some.reshape(3, -1).mean(axis=1)[:, None, None]
    golden = GoldenSet(some, np.broadcast_to(means, (3, *grid)).astype(np.float32))
    contents: dict[str, bytes | Path] = {MODEL_NAME: b"graph", GOLDEN_NAME: golden.to_bytes()}
    contents |= {GRAPHS["f32"]: b"f32 graph", GRAPHS["fp16"]: b"fp16 graph"}
    return write_bundle(tmp_path / "engines", manifest, contents)


@pytest.fixture
def gpu(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    gpu = Gpu(bundle.manifest.tile, 8)
    monkeypatch.setattr(tensorrt_open, "probe_gpu", lambda index: gpu.say(f"probe {index}", FACTS))
    monkeypatch.setattr(tensorrt_open, "load_api", lambda runtime: gpu.say("load", FakeTensorRt(VERSIONS[0], gpu)))
    monkeypatch.setattr(tensorrt_open, "PycudaMemory", lambda index: PycudaMemory(index, FakePycuda(gpu)))
    return gpu


def settings(**values: Any) -> EngineSettings:  # noqa: ANN401
    return EngineSettings(runtime="tensorrt", **values)


def test_the_fastest_precision_that_passes_runs(bundle: Bundle, gpu: Gpu, tmp_path: Path) -> None:
    cached = settings(cache_folder=tmp_path / "cache", max_batch=8)
    tiles = bundle.golden().tiles
    for builds in (1, 1):
        with open_engine(bundle, cached) as engine:
            assert engine.facts.precision == "fp16"
            assert engine.facts.device == "GPU 0: NVIDIA Loom (SM86)"
            np.testing.assert_allclose(engine.infer(tiles), bundle.golden().maps, rtol=1e-6)
        assert gpu.calls.count("build_serialized_network") == builds
    assert gpu.calls[0] == "probe 0"  # before the library
    assert (tmp_path / "cache" / "tensorrt").is_dir()


def test_a_precision_the_gate_refuses_is_passed_over(bundle: Bundle, gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    right = gpu.compute

    def compute(count: int, source: int, result: int) -> None:
        right(count, source, result)
        if gpu.calls.count("deserialize") == 1:
            scores = np.frombuffer(gpu.memory[result], np.float32)
            gpu.memory[result][:] = (scores + 50).tobytes()

    monkeypatch.setattr(gpu, "compute", compute)
    with structlog.testing.capture_logs() as log, open_engine(bundle, settings()) as engine:
        assert engine.facts.precision == "f32"
    assert [one["precision"] for one in log if one["event"] == "engine.precision_refused"] == ["fp16"]
    assert gpu.calls.count("retain 0") == 2
    assert gpu.calls.count("detach") == 2
    gpu.calls.clear()
    with pytest.raises(ParityError, match="tensorrt fp16"):
        open_engine(bundle, settings(precision="fp16"))
    assert gpu.calls[-1] == "detach"


def test_what_a_bundle_does_not_hold(bundle: Bundle, gpu: Gpu, tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(InputError, match="holds no int8 graph for tensorrt; it holds fp16, f32"):
        open_engine(bundle, settings(precision="int8"))
    contents: dict[str, bytes | Path] = {MODEL_NAME: b"graph", GOLDEN_NAME: bundle.read(GOLDEN_NAME)}
    plain = write_bundle(tmp_path / "other", manifest, contents)
    for precision in ("auto", "f32"):
        with pytest.raises(InputError, match="build it again with glass-edge build --engine tensorrt"):
            open_engine(plain, settings(precision=precision))
    assert not gpu.calls  # neither the GPU nor the library was touched


def test_a_changed_graph_is_not_compiled(bundle: Bundle, gpu: Gpu) -> None:
    path = bundle.folder / GRAPHS["fp16"]
    path.write_bytes(b"FP16 graph")
    with pytest.raises(InputError, match=r"model-tensorrt-fp16\.onnx: SHA-256 is"):
        open_engine(bundle, settings(precision="fp16"))
    assert "build_serialized_network" not in gpu.calls


def test_without_a_gpu_nothing_of_tensorrt_is_loaded(bundle: Bundle, tmp_path: Path) -> None:
    if ctypes.util.find_library("cuda") is not None:
        pytest.skip("this machine has an NVIDIA driver")
    cache, before = tmp_path / "cache", set(sys.modules)
    for runtime in ("tensorrt", "tensorrt-rtx"):
        with pytest.raises(GpuUnavailableError, match=r"no NVIDIA driver: .* or use runtime = 'openvino'"):
            open_engine(bundle, EngineSettings(runtime=runtime, cache_folder=cache))
    assert not {"tensorrt", "tensorrt_rtx", "pycuda"} & (set(sys.modules) - before)


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingExtraError, match=r"runtime 'tensorrt' needs the extra 'tensorrt': pip install"):
        load_api("tensorrt")


def test_precisions_belong_to_their_runtime() -> None:
    with pytest.raises(ValidationError, match="'openvino' computes nothing in fp16"):
        EngineSettings(precision="fp16")
    with pytest.raises(ValidationError, match="'tensorrt' computes nothing in bf16"):
        settings(precision="bf16")
