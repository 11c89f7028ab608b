"""Opening the engine of a bundle.

Promises: an engine that comes back has passed the parity gate on this machine, from verified files that are signed
where the settings require it, and its logits are levelled by the bundle's position profile; `auto` takes the fastest
precision that passes and says in the log why a faster one was not taken.
"""

from __future__ import annotations

import structlog

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.base import Engine, EngineError
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.manifest import INT8_NAME, INT8_WEIGHTS_NAME, MODEL_NAME, Manifest
from glass_edge.engine.openvino_engine import RUNTIME, OpenVinoEngine
from glass_edge.engine.openvino_model import Graph, has_int8_instructions, supported_precisions
from glass_edge.engine.parity import ParityError, recorded_result, self_test
from glass_edge.engine.position_profile import LevelledEngine
from glass_edge.engine.tensorrt_engine import TensorRtEngine
from glass_edge.engine.tensorrt_open import open_tensorrt, tensorrt_candidates
from glass_edge.engine.trust import check_trust
from glass_edge.errors import InputError

_log = structlog.get_logger(__name__)


def open_engine(bundle: Bundle, settings: EngineSettings, *, levelled: bool = True) -> Engine:
    """Compile the bundle's model and test it; use the result as a context manager, which warms it up.

    Args:
        bundle: verified.
        settings: what computes.
        levelled: False: the logits are the model's, whatever the bundle's position profile says.

    Raises:
        InputError: the bundle or the settings are wrong, or a required signature is missing. ParityError: no precision
            that is allowed passes the gate. EngineError: the runtime fails. GpuUnavailableError: no GPU for a runtime
            that needs one.
    """
    check_trust(bundle, settings)
    candidates: tuple[str, ...] = (settings.precision,)
    if settings.precision == "auto" and settings.runtime == "openvino":
        candidates = candidate_precisions(bundle.manifest)
    elif settings.precision == "auto":
        candidates = tensorrt_candidates(bundle.manifest, settings.runtime)
    for precision in candidates[:-1]:
        try:
            return _open(bundle, settings.model_copy(update={"precision": precision}), levelled)
        except (ParityError, EngineError) as error:
            _log.warning("engine.precision_refused", precision=precision, reason=str(error))
    return _open(bundle, settings.model_copy(update={"precision": candidates[-1]}), levelled)


def candidate_precisions(manifest: Manifest) -> tuple[str, ...]:
    """Precisions of this CPU that the gate did not refuse when the bundle was built, fastest first; f32 always."""
    has_int8 = INT8_NAME in manifest.files and has_int8_instructions()
    return tuple(
        precision
        for precision in (*(("int8",) if has_int8 else ()), *supported_precisions())
        if precision == "f32" or (recorded := recorded_result(manifest, RUNTIME, precision)) is None or recorded.passed
    )


def graph_of(bundle: Bundle, precision: str) -> Graph:
    """The graph of a bundle that computes in this precision.

    Raises:
        InputError: the bundle holds none, or it was changed.
    """
    if precision != "int8":
        return Graph(bundle.model(), name=str(bundle.folder / MODEL_NAME))
    if INT8_NAME not in bundle.manifest.files:
        recorded = recorded_result(bundle.manifest, RUNTIME, "int8")
        why = "it failed the parity gate when the bundle was built" if recorded else "it was not built"
        raise InputError(f"{bundle.folder}: the bundle holds no int8 graph: {why}; use 'f32' or 'auto'")
    return Graph(bundle.read(INT8_NAME), bundle.read(INT8_WEIGHTS_NAME), str(bundle.folder / INT8_NAME))


def _open(bundle: Bundle, settings: EngineSettings, levelled: bool) -> Engine:
    engine: OpenVinoEngine | TensorRtEngine
    if settings.runtime == "openvino":
        engine = OpenVinoEngine(graph_of(bundle, settings.precision), bundle.manifest.tile, settings)
    else:
        engine = open_tensorrt(bundle, settings)
    try:
        self_test(engine, bundle)
    except BaseException:
        engine.close()
        raise
    profile = bundle.manifest.tile.profile
    return LevelledEngine(engine, profile) if levelled and profile is not None else engine
