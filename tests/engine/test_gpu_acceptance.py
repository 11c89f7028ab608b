"""What only a GPU can show: `make test-gpu`. Elsewhere each test is skipped with what is missing.

The graphs are made from the demo's bundle, so every test is of a trained model and its golden tiles.
"""

from __future__ import annotations

import importlib
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.bench import measure_engine
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.factory import open_engine
from glass_edge.engine.gpu_probe import GpuFacts, GpuUnavailableError, probe_gpu
from glass_edge.engine.tensorrt_open import GRAPHS

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]
DEMO = Path(__file__).parents[2] / "engines" / "demo"
MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}


@pytest.fixture(scope="module")
def gpu() -> GpuFacts:
    try:
        return probe_gpu()
    except GpuUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=MODULES)
def runtime(gpu: GpuFacts, request: pytest.FixtureRequest) -> str:
    for module in (MODULES[request.param], "pycuda"):
        pytest.importorskip(module)
    return str(request.param)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    from glass_edge.cli.build_tensorrt import typed_graphs

    demo = load_bundle(DEMO)
    names = [name for name in demo.manifest.files if name != "signature.json"]
    contents: dict[str, bytes | Path] = {name: demo.read(name) for name in names}
    contents |= typed_graphs(demo.model(), demo.golden().tiles[:6], with_int8=True)
    return write_bundle(tmp_path_factory.mktemp("engines"), demo.manifest, contents)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def settings(runtime: str, cache: Path) -> EngineSettings:
    return EngineSettings.model_validate({"runtime": runtime, "cache_folder": cache, "max_batch": 32, "depth": 3})


def of(settings: EngineSettings, **values: Any) -> EngineSettings:  # noqa: ANN401
    return settings.model_copy(update=values)


@pytest.mark.parametrize("precision", ["f32", "fp16"])
def test_the_gate_accepts_it(bundle: Bundle, settings: EngineSettings, precision: str) -> None:
    golden = bundle.golden()
    with open_engine(bundle, of(settings, precision=precision)) as engine:
        found = engine.infer(golden.tiles)
        assert engine.facts.precision == precision
    bound = 1e-3 if precision == "f32" else 2e-3
    assert np.abs(found - golden.maps).max() < bound * np.abs(golden.maps).max()


def test_batches_of_any_size_in_order(bundle: Bundle, settings: EngineSettings) -> None:
    tiles = bundle.golden().tiles
    with open_engine(bundle, of(settings, precision="fp16")) as engine:
        alone = np.concatenate([engine.infer(tile[None]) for tile in tiles])
        rng = np.random.default_rng(1)
        waiting: list[np.ndarray] = []
        for _ in range(200):
            chosen = rng.integers(0, len(tiles), rng.integers(1, engine.max_batch + 1))
            engine.submit(tiles[chosen])
            waiting.append(chosen)
            if len(waiting) == engine.depth:
                chosen = waiting.pop(0)
                np.testing.assert_allclose(engine.collect(), alone[chosen], rtol=0, atol=2e-3 * np.abs(alone).max())
        for chosen in waiting:
            assert engine.collect().shape == (len(chosen), *alone.shape[1:])


def test_recorded_batches_give_the_same_scores(bundle: Bundle, settings: EngineSettings) -> None:
    pytest.importorskip("cuda.bindings.driver")
    tiles = bundle.golden().tiles
    with open_engine(bundle, of(settings, precision="fp16")) as engine:
        expected = [engine.infer(tiles[:count]) for count in (1, 4, 1, 4)]
    with open_engine(bundle, of(settings, precision="fp16", cuda_graphs=True)) as engine:
        for count, maps in zip((1, 4, 1, 4), expected, strict=True):
            np.testing.assert_allclose(engine.infer(tiles[:count]), maps, rtol=0, atol=1e-3)


def test_reload_in_other_threads_gives_all_memory_back(bundle: Bundle, settings: EngineSettings) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch without CUDA cannot tell the GPU's free memory")
    free: list[int] = []

    def once() -> None:
        with open_engine(bundle, of(settings, precision="fp16")) as engine:
            engine.infer(bundle.golden().tiles[:4])

    for _ in range(6):
        thread = threading.Thread(target=once)
        thread.start()
        thread.join()
        free.append(torch.cuda.mem_get_info()[0])
    assert max(free[2:]) - min(free[2:]) < 32 << 20


def test_a_damaged_plan_is_built_again(bundle: Bundle, settings: EngineSettings, tmp_path: Path) -> None:
    own = of(settings, precision="f32", cache_folder=tmp_path)
    tile = bundle.golden().tiles[:1]
    with open_engine(bundle, own) as engine:
        expected = engine.infer(tile)
    for path in (tmp_path / "tensorrt").glob("*.blob"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with open_engine(bundle, own) as engine:
        np.testing.assert_allclose(engine.infer(tile), expected, rtol=0, atol=1e-3)


def test_int8_runs_whatever_the_gate_says_of_it(bundle: Bundle, settings: EngineSettings) -> None:
    from glass_edge.engine.tensorrt_open import open_tensorrt

    assert GRAPHS["int8"] in bundle.manifest.files
    with open_tensorrt(bundle, of(settings, precision="int8")) as engine:
        assert np.isfinite(engine.infer(bundle.golden().tiles[:2])).all()


@pytest.fixture
def reference() -> Any:  # noqa: ANN401
    """The unfused checkpoint in PyTorch on the same card."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch without CUDA")
    checkpoint = importlib.import_module("glass_edge.glass.checkpoint")
    model = checkpoint.load_checkpoint(DEMO / "1" / "checkpoint")[0].to("cuda")

    @torch.inference_mode()
    def score(tiles: np.ndarray) -> np.ndarray:
        maps: np.ndarray = model(torch.from_numpy(tiles).to("cuda")).cpu().numpy()
        return maps

    return score


@pytest.mark.parametrize("batch", [1, 8, 32])
def test_tiles_a_second_beside_unfused_pytorch(
    bundle: Bundle,
    settings: EngineSettings,
    reference: Any,  # noqa: ANN401
    batch: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tiles = bundle.golden().tiles[np.arange(64) % 9]
    with open_engine(bundle, of(settings, precision="fp16")) as engine:
        ours, theirs = [], []
        reference(tiles[:batch])
        for _ in range(5):  # in turn, so that both meet the same clocks
            ours.append(measure_engine(engine, tiles, batch, 2.0).tiles_per_s)
            start, rounds = time.perf_counter(), 0
            while time.perf_counter() - start < 1.0:
                reference(tiles[:batch])
                rounds += 1
            theirs.append(rounds * batch / (time.perf_counter() - start))
        with capsys.disabled():
            print(  # noqa: T201 - the figures are what the run is for
                f"\n{engine.facts.device}, {engine.facts.runtime} {engine.facts.version}, fp16, batch {batch}: "
                f"{statistics.median(ours):.0f} tiles/s, unfused PyTorch {statistics.median(theirs):.0f} tiles/s"
            )
    assert statistics.median(ours) > statistics.median(theirs)
