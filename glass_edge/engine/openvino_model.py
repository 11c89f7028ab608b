"""Compiling an ONNX graph for the CPU with OpenVINO.

Promises: the compiled graph takes one uint8 NHWC tile of the manifest's shape and returns its float32 logits, in the
precision that was asked for; a graph that does not is refused with what it takes and what is expected.
"""

from __future__ import annotations

import hashlib
import io
import os
from typing import Any, Literal

import openvino as ov

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.base import EngineError, TileShapeError
from glass_edge.engine.cache import EngineCache
from glass_edge.engine.manifest import TileSpec
from glass_edge.errors import InputError

Precision = Literal["f32", "bf16"]
DEVICE = "CPU"
_CORE = ov.Core()


def device_name() -> str:
    """Name of the CPU as OpenVINO gives it."""
    return str(_CORE.get_property(DEVICE, "FULL_DEVICE_NAME")).strip()


def supported_precisions() -> tuple[Precision, ...]:
    """What this CPU computes with instructions of its own, the fastest first."""
    capabilities = set(_CORE.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"))
    return ("bf16", "f32") if "BF16" in capabilities else ("f32",)


def usable_cores() -> int:
    """CPU cores this process may run on."""
    return len(os.sched_getaffinity(0))


def thread_plan(settings: EngineSettings) -> tuple[int, int]:
    """Threads and streams that `settings` mean on this machine."""
    threads = settings.threads or usable_cores()
    return threads, min(settings.streams or threads, threads)


def compile_tile_model(model: bytes, tile: TileSpec, precision: Precision, settings: EngineSettings, name: str) -> Any:  # noqa: ANN401
    """Compile `model` for one tile at a time.

    Args:
        model: the ONNX graph.
        tile: expected shape of a tile and of its scores.
        precision: arithmetic of the compiled graph.
        settings: threads, streams and cache.
        name: what errors call the graph.

    Returns:
        openvino.CompiledModel, input uint8 (1, h, w, c), output float32 (1, h // stride, w // stride).

    Raises:
        InputError: no ONNX graph, or the CPU lacks the precision. TileShapeError: the graph is of another shape.
    """
    if precision not in supported_precisions():
        raise InputError(f"precision '{precision}': {device_name()} has no instructions for it; use 'f32' or 'auto'")
    threads, streams = thread_plan(settings)
    properties = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": str(threads),
        "NUM_STREAMS": str(streams),
    }
    if settings.cache_folder is None:
        return _checked(_compile(model, tile, properties, name), tile, name)
    cache = EngineCache(settings.cache_folder)
    key = {
        **properties,
        "onnx_sha256": hashlib.sha256(model).hexdigest(),
        "device": device_name(),
        "capabilities": " ".join(sorted(_CORE.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"))),
        "runtime": f"openvino {ov.__version__}",
        "tile": f"1x{tile.height_px}x{tile.width_px}x{tile.channels}",
    }
    blob = cache.load(key)
    if blob is not None:
        try:
            return _checked(_CORE.import_model(io.BytesIO(blob), DEVICE, properties), tile, name)
        except RuntimeError:
            cache.drop(key)  # compiled below
    compiled = _checked(_compile(model, tile, properties, name), tile, name)
    stream = io.BytesIO()
    compiled.export_model(stream)
    cache.store(key, stream.getvalue())
    return compiled


def _compile(model: bytes, tile: TileSpec, properties: dict[str, str], name: str) -> Any:  # noqa: ANN401
    try:
        graph = _CORE.read_model(io.BytesIO(model))
    except RuntimeError as error:
        raise InputError(f"{name}: not an ONNX graph OpenVINO can read: {_last_line(error)}") from error
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise InputError(f"{name}: {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; one of each is needed")
    wanted = ov.PartialShape([1, tile.height_px, tile.width_px, tile.channels])
    source = graph.inputs[0]
    if source.element_type != ov.Type.u8 or not source.partial_shape.compatible(wanted):
        raise TileShapeError(
            f"{name}: the graph takes {source.element_type.get_type_name()} {source.partial_shape}, the manifest's "
            f"tile is u8 [n,{tile.height_px},{tile.width_px},{tile.channels}]; rebuild the bundle for this tile"
        )
    try:
        graph.reshape({source: wanted})
        return _CORE.compile_model(graph, DEVICE, properties)
    except RuntimeError as error:
        raise EngineError(f"{name}: OpenVINO cannot compile it: {_last_line(error)}") from error


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
