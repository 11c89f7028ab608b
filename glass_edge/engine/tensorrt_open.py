"""The TensorRT engine of a bundle.

Promises: the GPU is probed before anything of TensorRT is loaded; the plan comes from the station's own cache folder or
is compiled here, from the bundle's verified graph. The parity gate is the caller's.
"""

from __future__ import annotations

from typing import get_args

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.base import EngineFacts
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.cuda_graphs import CudaGraphs
from glass_edge.engine.gpu_probe import probe_gpu
from glass_edge.engine.manifest import Manifest
from glass_edge.engine.parity import recorded_result
from glass_edge.engine.pycuda_memory import PycudaMemory
from glass_edge.engine.tensorrt_api import TensorRtName, builds_ahead, load_api
from glass_edge.engine.tensorrt_builder import PlanOptions
from glass_edge.engine.tensorrt_cache import PlanCache, load_or_build
from glass_edge.engine.tensorrt_engine import TensorRtEngine
from glass_edge.engine.tensorrt_progress import Progress
from glass_edge.engine.tensorrt_session import TensorRtSession
from glass_edge.errors import InputError

GRAPHS = {
    "int8": "model-tensorrt-int8.onnx",
    "fp16": "model-tensorrt-fp16.onnx",
    "f32": "model-tensorrt-f32.onnx",
}
"""Files of a bundle by precision, the fastest first: TensorRT computes in the types of the graph."""


def tensorrt_candidates(manifest: Manifest, runtime: str) -> tuple[str, ...]:
    """Precisions the bundle holds graphs of and that were not refused when it was built, fastest first.

    Raises:
        InputError: it holds none.
    """
    found = tuple(
        precision
        for precision, name in GRAPHS.items()
        if name in manifest.files
        and ((recorded := recorded_result(manifest, runtime, precision)) is None or recorded.passed)
    )
    if not found:
        raise InputError(
            f"{manifest.style}/{manifest.version}: the bundle holds no graph for {runtime}; build it again with "
            f"glass-edge build --engine {runtime}, or use runtime = 'openvino'"
        )
    return found


def plan_options(max_batch: int, compute_capabilities: tuple[str, ...] = ()) -> PlanOptions:
    """How plans of stations are compiled: tuned for full batches, which is what a line that keeps up submits."""
    return PlanOptions(max_batch=max_batch, optimal_batch=max_batch, compute_capabilities=compute_capabilities)


def open_tensorrt(bundle: Bundle, settings: EngineSettings, progress: Progress | None = None) -> TensorRtEngine:
    """Compile or load the plan of `settings.precision` and open it.

    Args:
        bundle: verified.
        settings: runtime 'tensorrt' or 'tensorrt-rtx', a precision that is not 'auto'.
        progress: told how far a build is.

    Raises:
        GpuUnavailableError: no GPU that will do. MissingExtraError: a library is not installed. InputError: the bundle
            holds no such graph. EngineError: TensorRT or the GPU fails.
    """
    runtime, precision = settings.runtime, settings.precision
    assert runtime in get_args(TensorRtName)
    if precision not in GRAPHS or GRAPHS[precision] not in bundle.manifest.files:
        held = ", ".join(tensorrt_candidates(bundle.manifest, runtime))
        raise InputError(f"{bundle.folder}: the bundle holds no {precision} graph for {runtime}; it holds {held}")
    gpu = probe_gpu(settings.gpu)
    api = load_api(runtime)  # type: ignore[arg-type] # asserted above
    tile, name = bundle.manifest.tile, str(bundle.folder / GRAPHS[precision])
    plan = load_or_build(
        None if settings.cache_folder is None else PlanCache(settings.cache_folder),
        api,
        bundle.read(GRAPHS[precision]),
        tile=tile,
        precision=precision,
        options=plan_options(settings.max_batch, (gpu.sm,) if builds_ahead(api) else ()),
        gpu=gpu,
        name=name,
        progress=progress,
    )

    def open_session() -> TensorRtSession:
        memory = PycudaMemory(settings.gpu)
        graphs = CudaGraphs(memory.stream) if settings.cuda_graphs else None
        return TensorRtSession(
            api,
            plan,
            memory,
            tile=tile,
            max_batch=settings.max_batch,
            depth=settings.depth,
            name=name,
            graphs=graphs,
        )

    facts = EngineFacts(runtime, str(api.__version__), f"GPU {gpu.index}: {gpu.name} ({gpu.sm})", precision, threads=1)
    return TensorRtEngine(open_session, tile, settings.max_batch, facts, name)
