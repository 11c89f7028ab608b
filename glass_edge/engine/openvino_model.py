"""Compiling a graph for the CPU with OpenVINO.

Promises: the compiled graph takes one uint8 NHWC tile of the manifest's shape and returns its float32 logits, in the
precision that was asked for; a graph that does not is refused with what it takes and what is expected. int8 is a graph
of its own (`openvino_int8`), the other precisions are the ONNX graph's.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import openvino as ov

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.base import EngineError, TileShapeError
from glass_edge.engine.cache import EngineCache
from glass_edge.engine.manifest import MODEL_NAME, TileSpec
from glass_edge.errors import InputError

Precision = Literal["f32", "bf16", "int8"]
DEVICE = "CPU"
_CORE = ov.Core()
_INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph in a file format that OpenVINO reads.

    Attributes:
        model: ONNX, or the XML of OpenVINO's own format.
        weights: what goes with the XML; empty for ONNX.
        name: what errors call it.
    """

    model: bytes
    weights: bytes = b""
    name: str = MODEL_NAME

    @property
    def sha256(self) -> str:
        """Of both parts."""
        digest = hashlib.sha256(self.model)
        if self.weights:
            digest.update(hashlib.sha256(self.weights).digest())
        return digest.hexdigest()


def core() -> Any:  # noqa: ANN401 - openvino has no type information
    """The one openvino.Core of the process."""
    return _CORE


def device_name() -> str:
    """Name of the CPU as OpenVINO gives it."""
    return str(_CORE.get_property(DEVICE, "FULL_DEVICE_NAME")).strip()


def supported_precisions() -> tuple[Precision, ...]:
    """In which precisions this CPU computes the ONNX graph with instructions of its own, the fastest first."""
    capabilities = set(_CORE.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"))
    return ("bf16", "f32") if "BF16" in capabilities else ("f32",)


def has_int8_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU multiplies 8-bit integers with instructions made for it (VNNI, AMX).

    Others compute int8 graphs too, some networks faster than in f32, some not.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return not _INT8_FLAGS.isdisjoint(flags.split())


def usable_cores() -> int:
    """CPU cores this process may run on."""
    return len(os.sched_getaffinity(0))


def thread_plan(settings: EngineSettings) -> tuple[int, int]:
    """Threads and streams that `settings` mean on this machine."""
    threads = settings.threads or len(set(settings.cores)) or usable_cores()
    return threads, min(settings.streams or threads, threads)


def compile_properties(precision: str, settings: EngineSettings) -> dict[str, str]:
    """What OpenVINO is told for this precision: an int8 graph says itself what has 8 bits, its rest is f32."""
    threads, streams = thread_plan(settings)
    return {
        "INFERENCE_PRECISION_HINT": "f32" if precision == "int8" else precision,
        "INFERENCE_NUM_THREADS": str(threads),
        "NUM_STREAMS": str(streams),
        "ENABLE_CPU_PINNING": "YES" if settings.pin_threads else "NO",
    }


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Threads that are started inside run on these cores (none: wherever they may), the calling one only meanwhile.

    Raises:
        InputError: this process may not run on one of them.
    """
    before = os.sched_getaffinity(0)
    if not set(cores) <= before:
        raise InputError(
            f"engine.cores = {sorted(set(cores))}: this process may run on {sorted(before)}; take the others out"
        )
    if not cores:
        yield
        return
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def compile_tile_model(graph: Graph, tile: TileSpec, precision: Precision, settings: EngineSettings) -> Any:  # noqa: ANN401
    """Compile `graph` for one tile at a time.

    Args:
        graph: what to compile; for int8 a quantised one.
        tile: expected shape of a tile and of its scores.
        precision: arithmetic of the compiled graph.
        settings: threads, streams and cache.

    Returns:
        openvino.CompiledModel, input uint8 (1, h, w, c), output float32 (1, h // stride, w // stride).

    Raises:
        InputError: no graph, or the CPU lacks the precision. TileShapeError: the graph is of another shape.
    """
    if precision not in (*supported_precisions(), "int8"):
        raise InputError(f"precision '{precision}': {device_name()} has no instructions for it; use 'f32' or 'auto'")
    with on_cores(settings.cores):
        return _compile_here(graph, tile, precision, settings)


def _compile_here(graph: Graph, tile: TileSpec, precision: Precision, settings: EngineSettings) -> Any:  # noqa: ANN401
    properties = compile_properties(precision, settings)
    if settings.cache_folder is None:
        return _checked(_compile(graph, tile, precision, properties), tile, graph.name)
    cache = EngineCache(settings.cache_folder)
    key = {
        **properties,
        "precision": precision,
        "onnx_sha256": graph.sha256,
        "device": device_name(),
        "capabilities": " ".join(sorted(_CORE.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"))),
        "runtime": f"openvino {ov.__version__}",
        "cores": " ".join(map(str, sorted(set(settings.cores)))),
        "tile": f"1x{tile.height_px}x{tile.width_px}x{tile.channels}",
    }
    blob = cache.load(key)
    if blob is not None:
        try:
            return _checked(_CORE.import_model(io.BytesIO(blob), DEVICE, properties), tile, graph.name)
        except RuntimeError:
            cache.drop(key)  # compiled below
    compiled = _checked(_compile(graph, tile, precision, properties), tile, graph.name)
    stream = io.BytesIO()
    compiled.export_model(stream)
    cache.store(key, stream.getvalue())
    return compiled


def read_graph(graph: Graph, tile: TileSpec) -> Any:  # noqa: ANN401
    """openvino.Model of `graph` for one tile at a time.

    Raises:
        InputError: no graph OpenVINO can read. TileShapeError: it takes other tiles.
    """
    name = graph.name
    try:
        parts = (graph.model, graph.weights) if graph.weights else (io.BytesIO(graph.model),)
        model = _CORE.read_model(*parts)
    except RuntimeError as error:
        raise InputError(f"{name}: not a graph OpenVINO can read: {_last_line(error)}") from error
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(f"{name}: {len(model.inputs)} inputs and {len(model.outputs)} outputs; one of each is needed")
    wanted = ov.PartialShape([1, tile.height_px, tile.width_px, tile.channels])
    source = model.inputs[0]
    if source.element_type != ov.Type.u8 or not source.partial_shape.compatible(wanted):
        raise TileShapeError(
            f"{name}: the graph takes {source.element_type.get_type_name()} {source.partial_shape}, the manifest's "
            f"tile is u8 [n,{tile.height_px},{tile.width_px},{tile.channels}]; rebuild the bundle for this tile"
        )
    model.reshape({source: wanted})
    return model


def _compile(graph: Graph, tile: TileSpec, precision: Precision, properties: dict[str, str]) -> Any:  # noqa: ANN401
    model = read_graph(graph, tile)
    if precision == "int8" and not any(op.get_type_name() == "FakeQuantize" for op in model.get_ops()):
        raise InputError(f"{graph.name}: not quantised; build the bundle with --precision int8")
    try:
        return _CORE.compile_model(model, DEVICE, properties)
    except RuntimeError as error:
        raise EngineError(f"{graph.name}: OpenVINO cannot compile it: {_last_line(error)}") from error


def _checked(compiled: Any, tile: TileSpec, name: str) -> Any:  # noqa: ANN401
    """`compiled`, when its score map has the manifest's stride."""
    grid = [1, tile.height_px // tile.score_stride_px, tile.width_px // tile.score_stride_px]
    output = compiled.outputs[0]
    if not output.partial_shape.is_static or list(output.shape) != grid or output.element_type != ov.Type.f32:
        raise TileShapeError(
            f"{name}: the graph returns {output.element_type.get_type_name()} {output.partial_shape}; f32 {grid} is "
            f"expected of a score stride of {tile.score_stride_px} px"
        )
    return compiled


def _last_line(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
