"""Plans of the station's own cache folder.

Promises: a plan comes back only when its file is whole, was written under the very key that is asked for (graph,
library, GPU, driver, precision, shapes and how it was compiled) and lies in this cache; anything else is compiled anew.
A plan holds machine code that runs in this process: nothing from a bundle or another folder is ever taken for one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from glass_edge.engine.cache import EngineCache
from glass_edge.engine.gpu_probe import GpuFacts
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.tensorrt_api import builds_ahead, library_version
from glass_edge.engine.tensorrt_builder import PlanOptions, build_plan
from glass_edge.engine.tensorrt_progress import Progress

_log = structlog.get_logger(__name__)
_FOLDER = "tensorrt"
_LENGTH_BYTES = 4
_KEPT = 64  # a cache may serve stations with several kinds of GPU, a plan each and precision


@dataclass(frozen=True, slots=True)
class PlanCache:
    """Plans and timings in `folder`/tensorrt.

    Attributes:
        folder: the station's cache folder.
    """

    folder: Path
    _files: EngineCache = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_files", EngineCache(self.folder / _FOLDER, _KEPT))

    def path(self, key: Mapping[str, str]) -> Path:
        """File of the plan with this key."""
        return self._files.path(key)

    def load(self, key: Mapping[str, str]) -> bytes | None:
        """What was stored under this key, or None when there is nothing that can be trusted."""
        content = self._files.load(key)
        if content is None:
            return None
        length = int.from_bytes(content[:_LENGTH_BYTES], "big")
        if content[_LENGTH_BYTES : _LENGTH_BYTES + length] != _encoded(key):
            path = str(self.path(key))
            _log.warning("engine.cache_foreign", file=path, remedy="removed; compiled anew")
            self._files.drop(key)  # a file that somebody renamed
            return None
        return content[_LENGTH_BYTES + length :]

    def store(self, key: Mapping[str, str], content: bytes) -> None:
        """Keep `content` under this key.

        Raises:
            InputError: the folder cannot be made or written.
        """
        header = _encoded(key)
        self._files.store(key, len(header).to_bytes(_LENGTH_BYTES, "big") + header + content)


def plan_key(
    api: Any,  # noqa: ANN401 - the libraries have no type information
    model: bytes,
    *,
    tile: TileSpec,
    precision: str,
    options: PlanOptions,
    gpu: GpuFacts | None,
) -> dict[str, str]:
    """Every fact that makes a plan another one.

    Args:
        api: the library that compiles and runs it.
        model: the graph.
        tile: its geometry.
        precision: of the graph.
        options: how it is compiled.
        gpu: the GPU of this machine; None: the plan is for `options.compute_capabilities`.
    """
    sides = f"{tile.height_px}x{tile.width_px}x{tile.channels}"
    key = {
        "kind": "plan",
        "onnx_sha256": hashlib.sha256(model).hexdigest(),
        "precision": precision,
        "shapes": f"1,{options.optimal_batch},{options.max_batch} x {sides}",
        "optimization_level": str(options.optimization_level),
        "hardware_compatibility": options.hardware_compatibility,
        "tf32": "off",
    }
    return key | _device_key(api, options, gpu)


def load_or_build(
    cache: PlanCache | None,
    api: Any,  # noqa: ANN401
    model: bytes,
    *,
    tile: TileSpec,
    precision: str,
    options: PlanOptions,
    gpu: GpuFacts | None,
    name: str,
    progress: Progress | None = None,
) -> bytes:
    """The plan of `model` from `cache`, or a new one, which is kept there.

    Args:
        cache: of the station; None: compile every time.
        api, model, tile, precision, options, gpu: as in `plan_key`.
        name: what errors call the graph.
        progress: told how far a build is.

    Raises:
        InputError: the graph or the options are wrong, or the cache cannot be written. EngineError: no plan.
    """
    if cache is None:
        _log.info("engine.compiling", graph=name, precision=precision, library=library_version(api))
        return build_plan(api, model, tile, options, name, progress=progress).plan
    key = plan_key(api, model, tile=tile, precision=precision, options=options, gpu=gpu)
    plan = cache.load(key)
    if plan is not None:
        return plan
    _log.info("engine.compiling", graph=name, precision=precision, library=library_version(api))
    timings_key = {"kind": "timings"} | _device_key(api, options, gpu)
    timings = cache.load(timings_key) or b""
    built = build_plan(api, model, tile, options, name, timing_cache=timings, progress=progress)
    cache.store(key, built.plan)
    if built.timing_cache:
        cache.store(timings_key, built.timing_cache)
    return built.plan


def _device_key(api: Any, options: PlanOptions, gpu: GpuFacts | None) -> dict[str, str]:  # noqa: ANN401
    library = {"library": library_version(api)}
    if builds_ahead(api):  # compiled for a kind of GPU; the driver's part is done when it is loaded
        return library | {"sm": ",".join(options.compute_capabilities) or (gpu.sm if gpu else "")}
    if gpu is None:
        raise ValueError("TensorRT compiles on the GPU that runs: its facts belong into the key")
    driver = f"{gpu.driver_release} CUDA {gpu.driver_cuda}"
    return library | {"gpu": gpu.name, "sm": gpu.sm, "driver": driver}


def _encoded(key: Mapping[str, str]) -> bytes:
    return json.dumps(dict(key), sort_keys=True).encode()
