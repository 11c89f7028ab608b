"""Compiling an ONNX graph with TensorRT or TensorRT for RTX.

Promises: the network is strongly typed, so the plan computes in the types the graph says; TF32 is off, so what the
graph keeps in float32 has float32's bits; a graph the library cannot parse is an InputError that names node and reason.
No builder flag for a precision is used: TensorRT 11 has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from glass_edge.engine.base import EngineError, TileShapeError
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.tensorrt_api import builds_ahead, capabilities, library_version, logger_of
from glass_edge.engine.tensorrt_progress import PhaseTracker, Progress, make_monitor
from glass_edge.errors import InputError

HardwareCompatibility = Literal["none", "ampere_plus", "same_compute_capability"]


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """How a plan is compiled.

    Attributes:
        max_batch: most tiles in a batch.
        optimal_batch: batch the plan is tuned for, 1 to max_batch.
        compute_capabilities: GPUs to compile for, as 'SM86'; empty: the one of this machine.
        hardware_compatibility: run on other GPUs than the one of this machine too (TensorRT only; slower).
        optimization_level: 0 to 5, how long to search for fast kernels.
    """

    max_batch: int
    optimal_batch: int
    compute_capabilities: tuple[str, ...] = ()
    hardware_compatibility: HardwareCompatibility = "none"
    optimization_level: int = 3


@dataclass(frozen=True, slots=True)
class BuiltPlan:
    """What a build gives.

    Attributes:
        plan: the serialized engine.
        timing_cache: measured kernels, which shorten the next build on this GPU; empty where the library keeps none.
    """

    plan: bytes
    timing_cache: bytes


def build_plan(
    api: Any,  # noqa: ANN401 - the libraries have no type information
    model: bytes,
    tile: TileSpec,
    options: PlanOptions,
    name: str,
    *,
    timing_cache: bytes = b"",
    progress: Progress | None = None,
) -> BuiltPlan:
    """Compile `model`.

    Args:
        api: `tensorrt` (the GPU must be there: see `probe_gpu`) or `tensorrt_rtx`.
        model: ONNX graph, typed as it is to be computed: uint8 (n, h, w, c) in, float32 (n, h // stride, w // stride)
            out.
        tile: geometry the graph must have.
        options: see there.
        name: what errors call the graph.
        timing_cache: of an earlier build on this GPU; a foreign one is left aside.
        progress: told how far the build is; what it raises ends the build.

    Raises:
        InputError: the library cannot parse the graph, or an option does not fit it. TileShapeError: another tile.
        EngineError: the library gives no plan.
    """
    if not 1 <= options.optimal_batch <= options.max_batch:
        raise InputError(
            f"optimal batch {options.optimal_batch}: 1 to the maximum batch, {options.max_batch}, is possible"
        )
    targets = capabilities(api, options.compute_capabilities)
    logger = logger_of(api)
    logger.reasons()  # those of another build
    builder = api.Builder(logger)
    # The parser keeps only a pointer to the network: both must live as long as the build.
    network = builder.create_network(1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = api.OnnxParser(network, logger)
    if not parser.parse(model):
        raise InputError(_parser_errors(parser, library_version(api), name))
    source = _checked_input(api, network, tile, name)
    config = builder.create_builder_config()
    config.clear_flag(api.BuilderFlag.TF32)  # 11 bits: on the demo as far off as float16 throughout
    config.builder_optimization_level = options.optimization_level
    _set_target(api, config, targets, options, name)
    profile = builder.create_optimization_profile()
    sides = (tile.height_px, tile.width_px, tile.channels)
    # pybind gives None where C++ gives true, and raises where it gives false
    profile.set_shape(source, (1, *sides), (options.optimal_batch, *sides), (options.max_batch, *sides))
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"{name}: {library_version(api)} refuses batches of 1 to {options.max_batch}")
    if not builds_ahead(api):  # TensorRT for RTX tunes on the GPU that runs, and keeps no timings
        _use_timings(config, timing_cache)
    tracker = PhaseTracker(progress or _silent)
    config.progress_monitor = make_monitor(api, tracker)
    plan = builder.build_serialized_network(network, config)
    if tracker.error is not None:
        raise tracker.error
    if plan is None:
        raise EngineError(f"{name}: {library_version(api)} cannot compile it: {logger.reasons()}")
    timings = b"" if builds_ahead(api) else _timings(config)
    del parser  # before the network it points to
    return BuiltPlan(bytes(plan), timings)


def _parser_errors(parser: Any, library: str, name: str) -> str:  # noqa: ANN401
    lines = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        code = str(error.code()).rpartition(".")[2]
        node = error.node_name() or (f"number {error.node()}" if error.node() >= 0 else "")
        operator = error.node_operator()
        where = f"node {node}{f' ({operator})' if operator else ''}: " if node else ""
        reason = " ".join((error.desc() or "no reason given").split())
        lines.append(f"{name}: {where}{code}: {reason}")
    return "\n".join(lines or [f"{name}: {library} cannot parse it and gives no reason"])


def _checked_input(api: Any, network: Any, tile: TileSpec, name: str) -> str:  # noqa: ANN401
    """Name of the network's input, when network and tile fit each other."""
    if (network.num_inputs, network.num_outputs) != (1, 1):
        raise InputError(
            f"{name}: {network.num_inputs} inputs and {network.num_outputs} outputs; one of each is needed"
        )
    source, result = network.get_input(0), network.get_output(0)
    grid = (tile.height_px // tile.score_stride_px, tile.width_px // tile.score_stride_px)
    wanted = (
        (source, api.DataType.UINT8, (-1, tile.height_px, tile.width_px, tile.channels)),
        (result, api.DataType.FLOAT, (-1, *grid)),
    )
    for tensor, dtype, shape in wanted:
        if tensor.dtype != dtype or tuple(tensor.shape) != shape:
            raise TileShapeError(
                f"{name}: '{tensor.name}' is {tensor.dtype} {tuple(tensor.shape)}; {dtype} {shape} is expected of the "
                "manifest's tile; rebuild the bundle for this tile"
            )
    return str(source.name)


def _set_target(api: Any, config: Any, targets: list[Any], options: PlanOptions, name: str) -> None:  # noqa: ANN401
    if targets:
        config.num_compute_capabilities = len(targets)
        for index, target in enumerate(targets):
            if not config.set_compute_capability(target, index):
                raise EngineError(f"{name}: {library_version(api)} cannot compile for {target}")
    if options.hardware_compatibility != "none":
        if builds_ahead(api):
            raise InputError(
                "hardware compatibility is a matter of TensorRT; give tensorrt-rtx compute capabilities instead"
            )
        levels = api.HardwareCompatibilityLevel
        config.hardware_compatibility_level = getattr(levels, options.hardware_compatibility.upper())


def _use_timings(config: Any, timing_cache: bytes) -> None:  # noqa: ANN401
    for content in dict.fromkeys((timing_cache, b"")):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return


def _timings(config: Any) -> bytes:  # noqa: ANN401
    cache = config.get_timing_cache()
    return b"" if cache is None else bytes(cache.serialize())


def _silent(phase: str, share: float) -> None:
    del phase, share
